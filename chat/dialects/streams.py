"""A run told in one response: as server-sent events, or all at once when it has ended."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

from chat import asking, counters, database, draining, event_stream, reading
from chat.asking import Asked
from chat.pacing import End
from chat.rest import CallerRequest, Problems, Refusal
from chat.wire.frames import Encoder, Frame

HEADERS = {"Cache-Control": "no-cache, no-store, must-revalidate", "X-Accel-Buffering": "no"}
PING = ": heartbeat\n\n"
#: So many silences are one heartbeat of a dialect that has an event for it.
SILENCES_PER_BEAT = 7
EVENT_STREAM = {
    "description": "Events until the run has ended",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
LAST_EVENT_ID = {
    "name": "Last-Event-ID", "in": "header", "required": False, "schema": {"type": "string"},
}  # fmt: skip

#: How OpenAPI is told of it.
DESCRIBED: dict[str, Any] = {
    "response": Problems,
    "openapi_extra": {
        "parameters": [LAST_EVENT_ID],
        "responses": {200: EVENT_STREAM, 204: {"description": "There is nothing more to tell"}},
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a dialect frames its server-sent events."""

    #: The dialect's own event for a stream that is silent.
    beat: Callable[[], Frame] | None = None
    retry_ms: int | None = None
    #: What becomes of the text of an event.
    wrap: Callable[[str], str] = str
    #: So many tokens are told at once.
    buffer_size: int = 1

    def write(self, frame: Frame, event_id: str | None = None) -> str:
        """Give a frame as the text of one event."""
        return self.wrap(frame.as_sse(event_id=event_id, retry_ms=self.retry_ms))

    def write_silence(self, count: int) -> str:
        """Say that the stream lives, when nothing was said for so many times SILENCE_S."""
        if self.beat and count % SILENCES_PER_BEAT == 0:
            return self.write(self.beat())
        return PING


PLAIN = Manner()


async def resumed(
    request: CallerRequest, encoder: Encoder, manner: Manner = PLAIN
) -> HttpResponseBase | None:
    """Go on for a client that was cut off, if the request is one's; else None.

    204 tells an EventSource, which would come back for ever, that it has everything.
    """
    last_id = request.headers.get("Last-Event-ID")
    if not last_id:
        return None
    asked = await database.read(asking.come_back, request.auth, last_id, encoder)
    return stream(request, asked, encoder, manner) if asked else HttpResponse(status=204)


def stream(
    request: CallerRequest,
    asked: Asked,
    encoder: Encoder,
    manner: Manner = PLAIN,
    *,
    opening: Frame | None = None,
) -> StreamingHttpResponse:
    """Answer with the frames of a run as server-sent events, until it has ended."""

    async def logged_out() -> None:
        await reading.logged_out(request.login)

    return event_stream.respond(
        request, _text(asked, encoder, manner, opening, logged_out), HEADERS
    )


async def _text(
    asked: Asked, encoder: Encoder, manner: Manner, opening: Frame | None, end: End
) -> AsyncIterator[str]:
    if opening:
        yield manner.write(opening, asked.id)
    silences = 0
    telling = asking.tell(asked, encoder, end, buffer_size=manner.buffer_size)
    with counters.during("event_streams"):
        async with aclosing(telling):  # type: ignore[type-var]
            async for told in telling:
                silences = 0 if told else silences + 1
                yield manner.write(told.frame, told.id) if told else manner.write_silence(silences)
    if draining.has_begun() and not encoder.is_over:
        yield f"retry: {draining.retry_ms()}\n\n"


async def last_frame(asked: Asked, encoder: Encoder) -> Frame:
    """Wait for the run's end; gives what the dialect says last. Raises Refusal if it cannot."""
    last = None
    telling = asking.tell(asked, encoder)
    async with aclosing(telling):  # type: ignore[type-var]
        async for told in telling:
            last = told.frame if told else last
    if last is None or not encoder.is_over:
        raise Refusal(503, "interrupted", "The answer was cut off. Ask again.")
    return last
