"""The receiver of a mesh of agents: keeps what others send, and answers what is meant for us."""

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chat import about, database, runs, sessions
from chat.agent import catalog
from chat.commands import SendMessage
from chat.models import MeshDelivery
from chat.principals import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One delivery, as its sender made it."""

    agent_id: str
    target_agent: str
    message: str
    response: str
    events: Sequence[dict[str, Any]]
    sent_at: str


async def receive(principal: Principal, sent: Sent) -> MeshDelivery:
    """Keep a delivery, once however often it is sent; one for this agent is also answered.

    Raises what `runs.start` raises, before anything is kept.
    """
    digest = _digest(sent)
    found = await database.read(_found, principal, digest)
    if found:
        return found
    is_for_us = sent.target_agent == about.agent().name
    run_id = await _answer(principal, sent, digest) if is_for_us else None
    return await database.write(_keep, principal, sent, digest, run_id)


def deliveries_of(principal: Principal, agent_id: str, *, limit: int) -> list[MeshDelivery]:
    """What an agent sent to the principal, the newest first."""
    found = MeshDelivery.objects.filter(owner_key=principal.owner_key, agent_id=agent_id)
    return list(found.order_by("-id")[:limit])


async def _answer(principal: Principal, sent: Sent, digest: str) -> uuid.UUID:
    session_id = f"mesh~{hashlib.sha256(sent.agent_id.encode()).hexdigest()[:16]}"
    session, _ = await database.write(sessions.create, principal, session_id=session_id)
    command = SendMessage(text=sent.response, if_running="enqueue", idempotency_key=digest)
    model = catalog.choose(session.model)
    return (await runs.start(session, command, model=model, api_key=principal.api_key)).run_id


def _found(principal: Principal, digest: str) -> MeshDelivery | None:
    return MeshDelivery.objects.filter(owner_key=principal.owner_key, digest=digest).first()


def _keep(principal: Principal, sent: Sent, digest: str, run_id: uuid.UUID | None) -> MeshDelivery:
    kept, _ = MeshDelivery.objects.get_or_create(
        owner_key=principal.owner_key,
        digest=digest,
        defaults={
            "agent_id": sent.agent_id,
            "target_agent": sent.target_agent,
            "message": sent.message,
            "response": sent.response,
            "events": list(sent.events),
            "sent_at": sent.sent_at,
            "run_id": run_id,
        },
    )
    return kept


def _digest(sent: Sent) -> str:
    told = [sent.agent_id, sent.target_agent, sent.message, sent.response, sent.sent_at]
    return hashlib.sha256(json.dumps([*told, list(sent.events)]).encode()).hexdigest()
