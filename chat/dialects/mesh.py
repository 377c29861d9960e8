"""The mesh: `POST /agents/{agent_id}/stream` takes what another agent has answered."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from ninja import Field, Schema
from ninja.responses import Status
from pydantic import StringConstraints

from chat import database, mesh
from chat.dialects import switches
from chat.rest import CallerRequest, Problems, Refusal, api
from chat.schemas import Problem

AgentId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._~:@-]{1,128}$")]
Text = Annotated[str, StringConstraints(max_length=200_000)]
MOST_EVENTS = 10_000
MOST_DELIVERIES = 20


class DeliveryIn(Schema):
    agent_id: AgentId
    message: Text
    response: Text
    target_agent: AgentId | None = None
    timestamp: Annotated[str, StringConstraints(max_length=64)] = ""
    streaming_events: list[dict[str, Any]] = Field([], max_length=MOST_EVENTS)


class Accepted(Schema):
    success: bool = True
    status: str = "accepted"
    agent_id: str
    target_agent: str | None
    events: int
    run_id: uuid.UUID | None


class DeliveryOut(Schema):
    agent_id: str
    target_agent: str
    message: str
    response: str
    timestamp: str = Field(alias="sent_at")
    streaming_events: list[dict[str, Any]] = Field(alias="events")
    run_id: uuid.UUID | None
    received_at: datetime


class DeliveryList(Schema):
    items: list[DeliveryOut]


@api.post("/agents/{agent_id}/stream", response={202: Accepted, **Problems, 413: Problem})
async def receive(request: CallerRequest, agent_id: str, body: DeliveryIn) -> Any:
    """Keep what an agent has answered; what is for this agent is answered in its turn."""
    switches.demand("a2a")
    if body.agent_id != agent_id:
        raise Refusal(422, "invalid", "agent_id: is another one than in the path")
    sent = mesh.Sent(
        agent_id=agent_id,
        target_agent=body.target_agent or "",
        message=body.message,
        response=body.response,
        events=body.streaming_events,
        sent_at=body.timestamp,
    )
    kept = await mesh.receive(request.auth, sent)
    told = {"agent_id": agent_id, "target_agent": body.target_agent, "run_id": kept.run_id}
    return Status(202, {**told, "events": len(sent.events)})


@api.get("/agents/{agent_id}/stream", response={200: DeliveryList, 401: Problem})
async def replay(request: CallerRequest, agent_id: str) -> Any:
    """Show what an agent has sent, the newest first."""
    switches.demand("a2a")
    found = await database.read(mesh.deliveries_of, request.auth, agent_id, limit=MOST_DELIVERIES)
    return {"items": found}
