"""LangGraph agents on AgentCore: `/stream`, `/invoke`, `/invocations` and `/ping`."""

import json
import time
from dataclasses import replace
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from ninja import Field, Schema
from pydantic import AfterValidator

from chat import asking, database, event_log, sessions
from chat.asking import Asked
from chat.commands import MessageText
from chat.dialects import streams
from chat.rest import CallerRequest, Problems, Refusal, api
from chat.schemas import Problem
from chat.wire import agentcore
from chat.wire.agentcore import DEFAULT_ACTOR, DEFAULT_SESSION, AgentCoreEncoder
from chat.wire.frames import Frame

#: The agent reads it with each question.
MOST_CHARACTERS = 8 * 1024


def _beat() -> Frame:
    return agentcore.heartbeat(event_log.format_at(timezone.now()))


def _as_string(text: str) -> str:
    return f"data: {json.dumps(text)}\n\n"


AS_EVENTS = streams.Manner(beat=_beat)
AS_STRINGS = streams.Manner(beat=_beat, wrap=_as_string)


def _bounded(known: Any) -> Any:
    if len(json.dumps(known)) > MOST_CHARACTERS:
        raise ValueError(f"longer than {MOST_CHARACTERS} characters")
    return known


Known = Annotated[dict[str, Any], AfterValidator(_bounded)]
KnownList = Annotated[list[Any], AfterValidator(_bounded)]


class Payload(Schema):
    prompt: MessageText
    session_id: str | None = None
    actor_id: str = DEFAULT_ACTOR
    stream: bool = False
    stream_tokens: bool = False
    #: So many tokens are told at once.
    buffer_size: Annotated[int, Field(ge=1, le=1000)] = 1
    preferences: Known | None = None
    custom_data: Known | None = None
    browsing_history: KnownList | None = None
    code_execution_history: KnownList | None = None

    @property
    def context(self) -> dict[str, Any]:
        """What the agent is to be told about the user; what is absent stays as it was."""
        given = {
            "user_preferences": self.preferences,
            "custom_data": self.custom_data,
            "browsing_history": self.browsing_history,
            "code_execution_history": self.code_execution_history,
        }
        return {name: known for name, known in given.items() if known is not None}

    def encoder(self, session_id: str) -> AgentCoreEncoder:
        return AgentCoreEncoder(
            session_id=session_id, actor_id=self.actor_id, streams_tokens=self.stream_tokens
        )


class Metrics(Schema):
    tokens: int
    tool_calls: int
    errors: int
    start_time: str
    end_time: str


class Invoked(Schema):
    output: str
    response: str
    session_id: str
    actor_id: str
    steps: int
    metrics: Metrics


class Pong(Schema):
    status: str
    time_of_last_update: int


@api.post("/stream", **streams.DESCRIBED)
async def stream_of_payload(request: CallerRequest, body: Payload) -> HttpResponseBase:
    """Ask, and be told the answer as named server-sent events."""
    return await stream(request, body)


@api.post("/invoke", response={200: Invoked, **Problems, 500: Problem})
async def invoke(request: CallerRequest, body: Payload) -> Any:
    """Ask, and be given the answer when it is there, or with `stream` as it comes."""
    if body.stream:
        return await stream(request, body)
    asked = await _ask(request, body)
    said = await _result(asked, body)
    return {
        **said,
        "response": said["output"],
        "session_id": body.session_id or asked.session.session_id,
        "actor_id": body.actor_id,
    }


@api.post("/invocations", response={200: str, **Problems, 500: Problem})
async def invocations(request: CallerRequest, body: Payload) -> Any:
    """Do what `/invoke` does, and say it as the runtime does: all is a JSON string."""
    if body.stream:
        return await stream(request, body, AS_STRINGS)
    said = await _result(await _ask(request, body), body)
    return said["output"]


@api.get("/ping", auth=None, response=Pong)
async def ping(request: HttpRequest) -> Any:
    """Say that this process answers."""
    return {"status": "Healthy", "time_of_last_update": int(time.time())}


async def stream(
    request: CallerRequest, body: Payload, manner: streams.Manner = AS_EVENTS
) -> HttpResponseBase:
    """Answer a payload with named events."""
    manner = replace(manner, buffer_size=body.buffer_size)
    encoder = body.encoder(body.session_id or DEFAULT_SESSION)
    if gone_on := await streams.resumed(request, encoder, manner):
        return gone_on
    asked = await _ask(request, body)
    encoder = body.encoder(body.session_id or asked.session.session_id)
    return streams.stream(request, asked, encoder, manner)


async def _ask(request: CallerRequest, body: Payload) -> Asked:
    session_id = agentcore.session_of_actor(body.session_id, body.actor_id)
    session = await asking.session_for(request.auth, session_id, default=DEFAULT_SESSION)
    await database.write(sessions.remember, session, body.context)
    return await asking.ask(request.auth, session, body.prompt)


async def _result(asked: Asked, body: Payload) -> dict[str, Any]:
    encoder = body.encoder(asked.session.session_id)
    last = await streams.last_frame(asked, encoder)
    said: dict[str, Any] = json.loads(last.text)
    if last.name != "agent_end":
        raise Refusal(500, said["type"], said["error"])
    return said
