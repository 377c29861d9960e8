"""The REST endpoints: parse, call one domain function, answer."""

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.utils.http import content_disposition_header
from django_eventstream.utils import add_default_headers
from ninja import Header, Query
from ninja.responses import Status
from pydantic import StringConstraints

from chat import (
    about,
    answers,
    artifacts,
    database,
    event_stream,
    health,
    positions,
    reading,
    runs,
    sessions,
    sse,
)
from chat.agent import catalog
from chat.commands import ModelName, SendMessage
from chat.rest import CallerRequest, Problems, Refusal, api
from chat.schemas import (
    Alive,
    CostComparison,
    Health,
    Healthy,
    MessageIn,
    MessagePage,
    ModelList,
    Problem,
    RetryIn,
    RunAccepted,
    RunOut,
    SessionChange,
    SessionCosts,
    SessionIn,
    SessionOut,
    SessionPage,
)

#: The URLs take the whole API from here, where its endpoints are.
__all__ = ["api"]

EVENT_STREAM = {
    "description": "Events, one after another, until the client leaves",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
PROBLEM = {
    "description": "Problem",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
#: Read by django-eventstream's request, so they are only described here.
POSITIONS = [
    {"name": name, "in": place, "required": False, "schema": {"type": "string"}}
    for name, place in (("after", "query"), ("lastEventId", "query"), ("Last-Event-ID", "header"))
]
#: Pictures that run no scripts; anything else a browser saves.
SHOWN_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
ARTIFACT_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, max-age=31536000, immutable",
}
#: Models to compare with, beside those that can be used.
Models = Annotated[list[ModelName], Query([], max_length=20)]
Limit = Annotated[int, Query(20, ge=1, le=100)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]


@api.post("/api/sessions", response={200: SessionOut, 201: SessionOut, **Problems})
async def create_session(request: CallerRequest, body: SessionIn) -> Status[Any]:
    """Create a session. With an id that the caller has already, give that one."""
    if body.model:
        catalog.resolve(body.model)
    try:
        session, is_new = await database.write(
            sessions.create,
            request.auth,
            session_id=body.session_id,
            title=body.title,
            model=body.model or "",
        )
    except sessions.InvalidSessionId as error:
        raise Refusal(422, "invalid_session_id", str(error)) from error
    return Status(201 if is_new else 200, session)


@api.get("/api/sessions", response={200: SessionPage, **Problems})
async def list_sessions(
    request: CallerRequest, limit: Limit = 20, cursor: str | None = None
) -> Any:
    """List the caller's sessions, most recently used first."""
    try:
        page = await database.read(sessions.page_for, request.auth, limit=limit, cursor=cursor)
    except sessions.InvalidCursor as error:
        raise Refusal(400, "invalid_cursor", "The cursor is none of ours") from error
    return {"items": page.sessions, "next_cursor": page.next_cursor}


@api.get("/api/sessions/{session_id}", response={200: SessionOut, **Problems})
async def get_session(request: CallerRequest, session_id: str) -> Any:
    return await database.read(sessions.described_for, request.auth, session_id)


@api.patch("/api/sessions/{session_id}", response={200: SessionOut, **Problems})
async def change_session(request: CallerRequest, session_id: str, body: SessionChange) -> Any:
    """Rename a session or choose its model."""
    if body.model:
        catalog.resolve(body.model)
    session = await database.read(sessions.described_for, request.auth, session_id)
    return await database.write(sessions.change, session, title=body.title, model=body.model)


@api.delete("/api/sessions/{session_id}", response={204: None, **Problems})
async def delete_session(request: CallerRequest, session_id: str) -> Status[None]:
    """Delete a session and its messages. Its costs stay in the ledger."""
    session = await database.read(sessions.get_for, request.auth, session_id)
    await database.write(sessions.delete, session)
    return Status(204, None)


@api.get("/api/sessions/{session_id}/messages", response={200: MessagePage, **Problems})
async def list_messages(
    request: CallerRequest,
    session_id: str,
    before: Annotated[int | None, Query(None, ge=0, lt=2**63)] = None,
    limit: Limit = 20,
) -> Any:
    """List a session's messages, newest first."""
    session = await database.read(sessions.get_for, request.auth, session_id)
    found = await database.read(sessions.messages_of, session, before=before, limit=limit + 1)
    more = found[limit - 1].seq if len(found) > limit else None
    return {"items": found[:limit], "next_before": more}


@api.post("/api/sessions/{session_id}/messages", response={202: RunAccepted, **Problems})
async def send_message(
    request: CallerRequest,
    session_id: str,
    body: MessageIn,
    idempotency_key: Annotated[Key | None, Header(None, alias="Idempotency-Key")] = None,
) -> Status[Any]:
    """Send a message: it is stored and its run queued. The same key again: the same answer."""
    session = await database.read(sessions.get_for, request.auth, session_id)
    command = SendMessage(
        text=body.text,
        model=body.model,
        if_running=body.if_running,
        temperature=body.temperature,
        max_tokens=body.max_tokens,
        idempotency_key=idempotency_key,
    )
    model = catalog.choose(body.model, session.model)
    return Status(
        202, await runs.start(session, command, model=model, api_key=request.auth.api_key)
    )


@api.get(
    "/api/sessions/{session_id}/artifacts/{artifact_id}",
    response=Problems,
    openapi_extra={"responses": {200: {"description": "The file"}}},
)
async def get_artifact(request: CallerRequest, session_id: str, artifact_id: str) -> HttpResponse:
    """Give what a tool made in a session, a picture to be shown and all else to be saved."""
    session = await database.read(sessions.get_for, request.auth, session_id)
    found = await database.read(artifacts.get_in, session, artifact_id)
    response = HttpResponse(bytes(found.content), content_type=found.content_type)
    is_saved = found.content_type not in SHOWN_TYPES
    response["Content-Disposition"] = content_disposition_header(is_saved, found.name) or "inline"
    for name, value in ARTIFACT_HEADERS.items():
        response[name] = value
    return response


@api.get("/api/sessions/{session_id}/costs", response={200: SessionCosts, **Problems})
async def session_costs(request: CallerRequest, session_id: str) -> Any:
    """Say what a session has cost, in all and run by run."""
    session = await database.read(sessions.get_for, request.auth, session_id)
    return await database.read(answers.session_costs, session)


@api.get("/api/sessions/{session_id}/costs/comparison", response={200: CostComparison, **Problems})
async def compare_session_costs(request: CallerRequest, session_id: str, models: Models) -> Any:
    """Say what a session's tokens would have cost on other models."""
    session = await database.read(sessions.get_for, request.auth, session_id)
    return await database.read(answers.session_comparison, session, models)


@api.get(
    "/api/sessions/{session_id}/events",
    openapi_extra={
        "parameters": POSITIONS,
        "responses": {
            200: EVENT_STREAM,
            **dict.fromkeys((400, 401, 404, 429), PROBLEM),
        },
    },
)
async def follow_session(
    request: CallerRequest,
    session_id: str,
    caught_up: bool = False,
    compress: bool = False,
    batch_ms: Annotated[int | None, Query(None, ge=1, le=reading.LONGEST_BATCH_MS)] = None,
) -> StreamingHttpResponse:
    """Follow a session as server-sent events, from Last-Event-ID, ?after= or now."""
    session = await database.read(sessions.get_for, request.auth, session_id)
    try:
        wanted = sse.requested_position(request, session)
    except positions.InvalidPosition as error:
        raise Refusal(400, "invalid_position", str(error)) from error
    begun = await database.read(
        reading.begin,
        session,
        wanted=wanted,
        tells_caught_up=caught_up,
        batch_s=(batch_ms or 0) / 1000,
    )
    events = sse.stream(begun, lambda: reading.logged_out(request.login))
    response = event_stream.respond(request, events, may_compress=compress)
    add_default_headers(response, request)
    return response


@api.get("/api/runs/{run_id}", response={200: RunOut, **Problems})
async def get_run(request: CallerRequest, run_id: str) -> Any:
    """Say how a run stands, what it used and what it cost."""
    found = await database.read(runs.get_for, request.auth, run_id)
    return await database.read(answers.run, found)


@api.get("/api/runs/{run_id}/costs/comparison", response={200: CostComparison, **Problems})
async def compare_run_costs(request: CallerRequest, run_id: str, models: Models) -> Any:
    """Say what a run's tokens would have cost on other models."""
    found = await database.read(runs.get_for, request.auth, run_id)
    return await database.read(answers.run_comparison, found, models)


@api.post("/api/runs/{run_id}/cancel", response={202: RunOut, **Problems})
async def cancel_run(request: CallerRequest, run_id: str) -> Status[Any]:
    """Stop a run and keep its text. A run that has ended stays as it is."""
    found = await database.read(runs.get_for, request.auth, run_id)
    await runs.cancel(found)
    found = await database.read(runs.get_for, request.auth, run_id)
    return Status(202, await database.read(answers.run, found))


@api.post("/api/runs/{run_id}/retry", response={202: RunAccepted, **Problems})
async def retry_run(
    request: CallerRequest,
    run_id: str,
    body: RetryIn | None = None,
    idempotency_key: Annotated[Key | None, Header(None, alias="Idempotency-Key")] = None,
) -> Status[Any]:
    """Ask again what a run that failed or was cancelled could not answer, as a new run."""
    found = await database.read(runs.get_for, request.auth, run_id)
    model = catalog.choose(body.model if body else None, found.model)
    return Status(
        202,
        await runs.retry(
            found, model=model, api_key=request.auth.api_key, idempotency_key=idempotency_key
        ),
    )


@api.get("/api/models", response={200: ModelList, 401: Problem})
async def list_models(request: CallerRequest) -> Any:
    """List the models that can be used now."""
    return await database.read(answers.models)


@api.get("/health", auth=None, response=Healthy)
async def healthy(request: HttpRequest) -> Any:
    """Say that this process answers, and who it is."""
    agent = about.agent()
    told = {"status": "healthy", "agent": agent.name, "version": agent.version}
    return {**told, "timestamp": timezone.now()}


@api.get("/health/live", auth=None, response=Alive)
async def live(request: HttpRequest) -> Any:
    """Say that this process answers."""
    return {"status": "ok"}


@api.get("/health/ready", auth=None, response={200: Health, 503: Health})
async def ready(request: HttpRequest) -> Status[Any]:
    """Say whether this process can do its work; 503 names the part that is down."""
    found = await health.parts()
    is_ready = all(state == "ok" for state in found.values())
    status = "ok" if is_ready else "down"
    return Status(200 if is_ready else 503, {"status": status, "parts": found})
