"""A2A: JSON-RPC on `POST /` and `/a2a/v1/messages`, and the agent's card."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from chat import about, asking, commands, database, event_log, runs, strict_json
from chat.asking import Asked
from chat.commands import clean_text
from chat.dialects import streams
from chat.models import Run
from chat.rest import CallerRequest, Problems, api
from chat.wire import a2a
from chat.wire.a2a import A2aEncoder, RpcId

P = TypeVar("P", bound=BaseModel)
STATES = {
    Run.Status.QUEUED: "submitted",
    Run.Status.RUNNING: "working",
    Run.Status.FINISHED: "completed",
    Run.Status.FAILED: "failed",
    Run.Status.CANCELLED: "canceled",
}
MAX_PARTS = 100
RPC: dict[str, Any] = {
    "response": Problems,
    "openapi_extra": {
        "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": {200: {"description": "A JSON-RPC answer, or a stream of them"}},
    },
}


class Refused(Exception):
    """An answer that is a JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Part(BaseModel):
    """A part of a message; some clients leave the kind out, some write `type`."""

    text: StrictStr | None = None


class Message(BaseModel):
    """What a client says. Kind, ids and role may be empty, whatever the standard says."""

    model_config = ConfigDict(populate_by_name=True)

    parts: list[Part] = Field(min_length=1, max_length=MAX_PARTS)
    context_id: str | None = Field(None, alias="contextId")

    @property
    def text(self) -> str:
        """The message's text. Raises ValueError when it has none."""
        return clean_text("\n".join(part.text for part in self.parts if part.text))


class MessageParams(BaseModel):
    message: Message


class TaskParams(BaseModel):
    id: str = Field(max_length=100)


class Call(BaseModel):
    """A JSON-RPC request."""

    jsonrpc: Literal["2.0"]
    id: StrictStr | StrictInt | None = None
    method: str = Field(max_length=100)
    params: dict[str, Any] = {}


@api.post("/a2a", **RPC)
async def rpc(request: CallerRequest) -> HttpResponseBase:
    """Carry out one JSON-RPC call: message/send, message/stream, tasks/get and others."""
    try:
        said = _json(request)
    except Refused as error:
        return JsonResponse(a2a.failure(None, error.code, str(error)))
    return await _carry_out(request, said)


@api.post("/a2a/v1/messages", **RPC)
async def send_bare_message(request: CallerRequest) -> HttpResponseBase:
    """Answer a message without JSON-RPC around it, or with it as `POST /` does."""
    try:
        said = _json(request)
        if isinstance(said, dict) and "jsonrpc" in said:
            return await _carry_out(request, said)
        return JsonResponse(await _answer(request, _params(MessageParams, said)))
    except Refused as error:
        return JsonResponse({"detail": str(error), "code": "invalid"}, status=422)


@api.get("/.well-known/agent-card.json", auth=None, response=dict[str, Any])
async def card(request: HttpRequest) -> Any:
    """Say who this agent is and how it is talked to."""
    agent = about.agent()
    return {
        "name": agent.name,
        "description": agent.description,
        "version": agent.version,
        "url": request.build_absolute_uri("/"),
        "protocolVersion": "0.3.0",
        "preferredTransport": "JSONRPC",
        "capabilities": {"streaming": True, "pushNotifications": False},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [
            {
                "id": "chat",
                "name": "Chat",
                "description": "Answers questions, and calculates.",
                "tags": ["chat"],
            }
        ],
    }


@api.get("/.well-known/agent.json", auth=None, response=dict[str, Any])
async def older_card(request: HttpRequest) -> Any:
    """Say the same where clients of A2A 0.2 look."""
    return await card(request)


async def _send(request: CallerRequest, call: Call) -> HttpResponseBase:
    answer = await _answer(request, _params(MessageParams, call.params))
    return JsonResponse(a2a.result(call.id, answer))


async def _stream(request: CallerRequest, call: Call) -> HttpResponseBase:
    asked = await _ask(request, _params(MessageParams, call.params))
    encoder = A2aEncoder(rpc_id=call.id, context_id=asked.session.session_id)
    return streams.stream(request, asked, encoder)


async def _get_task(request: CallerRequest, call: Call) -> HttpResponseBase:
    run = await _run(request, call)
    return JsonResponse(a2a.result(call.id, await database.read(_task, run)))


async def _cancel_task(request: CallerRequest, call: Call) -> HttpResponseBase:
    run = await _run(request, call)
    if not run.is_active:
        raise Refused(a2a.NOT_CANCELABLE, "The task has ended")
    await runs.cancel(run)
    return await _get_task(request, call)


async def _resubscribe(request: CallerRequest, call: Call) -> HttpResponseBase:
    run = await _run(request, call)
    encoder = A2aEncoder(rpc_id=call.id, context_id=run.session.session_id)
    start = f"{run.pk}:{run.queued_seq - 1}.0"
    asked = await database.read(asking.come_back, request.auth, start, encoder)
    if asked is None:
        raise Refused(a2a.UNKNOWN_TASK, "The task's events are gone")
    return streams.stream(request, asked, encoder)


METHODS: dict[str, Callable[[CallerRequest, Call], Awaitable[HttpResponseBase]]] = {
    "message/send": _send,
    "message/stream": _stream,
    "tasks/get": _get_task,
    "tasks/cancel": _cancel_task,
    "tasks/resubscribe": _resubscribe,
}


async def _carry_out(request: CallerRequest, said: Any) -> HttpResponseBase:
    rpc_id: RpcId = None
    try:
        call = _call(said)
        rpc_id = call.id
        if call.method not in METHODS:
            raise Refused(a2a.UNKNOWN_METHOD, "Method not found")
        return await METHODS[call.method](request, call)
    except Refused as error:
        return JsonResponse(a2a.failure(rpc_id, error.code, str(error)))
    except asking.REFUSED as error:
        return JsonResponse(a2a.failure(rpc_id, a2a.INVALID_PARAMS, str(error)))


async def _ask(request: CallerRequest, params: MessageParams) -> Asked:
    try:
        text = params.message.text
    except ValueError as error:
        raise Refused(a2a.INVALID_PARAMS, str(error)) from error
    session = await asking.session_for(request.auth, params.message.context_id)
    return await asking.ask(request.auth, session, text)


async def _answer(request: CallerRequest, params: MessageParams) -> dict[str, Any]:
    asked = await _ask(request, params)
    context_id = asked.session.session_id
    encoder = A2aEncoder(rpc_id=None, context_id=context_id)
    await streams.last_frame(asked, encoder)
    if encoder.state == "failed" and not encoder.text:
        raise Refused(a2a.INTERNAL, "The answer could not be made")
    run_id = str(asked.run_id)
    said = {"message_id": f"{run_id}-answer", "task_id": run_id, "context_id": context_id}
    return a2a.message(encoder.text, **said)


async def _run(request: CallerRequest, call: Call) -> Run:
    try:
        return await database.read(runs.get_for, request.auth, _params(TaskParams, call.params).id)
    except runs.UnknownRun as error:
        raise Refused(a2a.UNKNOWN_TASK, "Task not found") from error


def _task(run: Run) -> dict[str, Any]:
    answer = run.messages.filter(role="assistant").first()
    text = "".join(part.get("text", "") for part in answer.parts) if answer else ""
    at = event_log.format_at(run.ended_at or run.started_at or run.created_at)
    context_id, state = run.session.session_id, STATES[Run.Status(run.status)]
    return a2a.task(task_id=str(run.pk), context_id=context_id, state=state, at=at, text=text)


def _json(request: HttpRequest) -> Any:
    try:
        return strict_json.loads(request.body)
    except strict_json.InvalidJson as error:
        raise Refused(a2a.PARSE, f"Parse error: {error}") from error


def _call(said: Any) -> Call:
    try:
        return Call.model_validate(said)
    except ValidationError as error:
        raise Refused(
            a2a.INVALID_REQUEST, f"Invalid request: {commands.describe(error)}"
        ) from error


def _params(wanted: type[P], said: Any) -> P:
    try:
        return wanted.model_validate(said)
    except ValidationError as error:
        raise Refused(a2a.INVALID_PARAMS, f"Invalid params: {commands.describe(error)}") from error
