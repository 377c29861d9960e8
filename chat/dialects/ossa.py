"""OSSA's LangChain agents: `/chat`, `/chat/stream`, `/sessions` and `/cost-summary`."""

import asyncio
import json
from typing import Annotated, Any

from django.http import HttpResponseBase
from ninja import Field, Query, Schema

from chat import asking, database, runs, sessions
from chat.asking import Asked
from chat.commands import MessageText
from chat.dialects import streams, switches
from chat.models import ChatSession
from chat.rest import CallerRequest, Problems, Refusal, api, refuse_foreign_page
from chat.schemas import Problem
from chat.wire import ossa
from chat.wire.ossa import OssaEncoder
from costs import ledger

MOST_SESSIONS = 100
#: A run that is to be deleted with its session has this long to end.
STOPPED_WITHIN_S = 5.0


class ChatIn(Schema):
    message: MessageText
    session_id: str | None = None
    stream: bool = False


class ChatMetadata(Schema):
    tokens_used: int | None


class ChatOut(Schema):
    response: str
    session_id: str
    success: bool = True
    error: str | None = None
    metadata: ChatMetadata


class ListedSession(Schema):
    session_id: str
    message_count: int | None


class Done(Schema):
    status: str = "success"
    message: str


class CostSummary(Schema):
    total_tokens: int
    prompt_tokens: int
    completion_tokens: int
    total_cost: float
    model: str | None
    incomplete: bool = Field(False, description="Calls without a price are missing.")
    unpriced_calls: int = 0


@api.get("/chat/stream", **streams.DESCRIBED)
async def stream_of_query(
    request: CallerRequest, message: Annotated[MessageText, Query()], session_id: str | None = None
) -> HttpResponseBase:
    """Ask, and be told the answer as unnamed server-sent events."""
    refuse_foreign_page(request)
    return await _stream(request, message, session_id)


@api.post("/chat/stream", **streams.DESCRIBED)
async def stream_of_body(request: CallerRequest, body: ChatIn) -> HttpResponseBase:
    """Ask, and be told the answer as unnamed server-sent events."""
    return await _stream(request, body.message, body.session_id)


@api.post("/chat", response={200: ChatOut, **Problems, 500: Problem})
async def chat(request: CallerRequest, body: ChatIn) -> Any:
    """Ask, and be given the whole answer when it is there."""
    if body.stream:
        return await _stream(request, body.message, body.session_id)
    asked = await _ask(request, body.message, body.session_id)
    told = await streams.last_frame(asked, OssaEncoder())
    said = json.loads(told.text)
    if said["type"] != "done":
        raise Refusal(500, said["type"], said.get("error") or said["message"])
    return {
        "response": said["result"],
        "session_id": asked.session.session_id,
        "metadata": {"tokens_used": said["cost_summary"]["total_tokens"]},
    }


@api.get("/sessions", response={200: list[ListedSession], 401: Problem})
async def list_sessions(request: CallerRequest) -> Any:
    """List the caller's newest sessions."""
    return await database.read(_listed, request)


@api.delete("/sessions/{session_id}", response={200: Done, 401: Problem, 409: Problem})
async def clear_session(request: CallerRequest, session_id: str) -> Any:
    """Stop what runs in a session and delete it, if it is there."""
    try:
        session = await database.read(sessions.get_for, request.auth, session_id)
        await _stop_and_delete(session)
    except sessions.UnknownSession:
        pass
    return Done(message=f"Session {session_id[:128]} cleared")


@api.get(
    "/cost-summary",
    response={200: CostSummary, 401: Problem, 404: Problem},
    exclude_unset=True,
)
async def cost_summary(request: CallerRequest, session_id: str | None = None) -> Any:
    """Say what the caller has used since the last reset, or one session of it."""
    return await database.read(_cost_summary, request, session_id)


@api.post("/cost-summary/reset", response={200: Done, 401: Problem})
async def reset_cost_summary(request: CallerRequest) -> Any:
    """Let the summary begin anew. The ledger keeps everything."""
    await database.write(ledger.reset, request.auth.owner_key)
    return Done(message="Cost tracking reset")


async def _stream(request: CallerRequest, message: str, session_id: str | None) -> HttpResponseBase:
    switches.demand("sse")
    encoder = OssaEncoder(silent=switches.silent_types())
    if gone_on := await streams.resumed(request, encoder):
        return gone_on
    asked = await _ask(request, message, session_id)
    opening = ossa.connected(asked.session.session_id)
    return streams.stream(request, asked, encoder, opening=opening)


async def _ask(request: CallerRequest, message: str, session_id: str | None) -> Asked:
    session = await asking.session_for(request.auth, session_id)
    return await asking.ask(request.auth, session, message)


def _listed(request: CallerRequest) -> list[dict[str, Any]]:
    page = sessions.page_for(request.auth, limit=MOST_SESSIONS, cursor=None)
    counts = sessions.message_counts(page.sessions)
    return [
        {"session_id": found.session_id, "message_count": counts.get(found.pk, 0)}
        for found in page.sessions
    ]


async def _stop_and_delete(session: ChatSession) -> None:
    for run in await database.read(runs.active_in, session):
        await runs.cancel(run)
    deadline = asyncio.get_running_loop().time() + STOPPED_WITHIN_S
    while True:
        try:
            return await database.write(sessions.delete, session)
        except sessions.SessionBusy:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)


def _cost_summary(request: CallerRequest, session_id: str | None) -> dict[str, Any]:
    owner_key = request.auth.owner_key
    session = sessions.get_for(request.auth, session_id) if session_id else None
    session_key = session.ledger_key if session else None
    total = ledger.total_of_owner(owner_key, session_key=session_key)
    return ossa.cost_summary(
        prompt_tokens=total.prompt_tokens,
        completion_tokens=total.completion_tokens,
        total_cost=float(total.amount or 0),
        model=ledger.last_model(owner_key),
        unpriced_calls=total.unpriced_calls,
    )
