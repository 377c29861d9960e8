"""The dialect of OSSA's LangChain agents: unnamed events, flat objects with a `type`."""

from collections.abc import Iterator
from typing import Any

from chat import events
from chat.events import Envelope, Event
from chat.wire.frames import Frame, json_frame
from chat.wire.story import INTERRUPTED, StoryEncoder, error_type

GREETING = "WebSocket connection established"
CANCELLED = "Stream cancelled by user"


def connected(session_id: str) -> Frame:
    """The first frame of every stream and socket."""
    return json_frame({"type": "connected", "session_id": session_id, "message": GREETING})


def error(message: str, kind: str = "ValueError") -> Frame:
    """What was asked for cannot be done, or failed."""
    return json_frame({"type": "error", "error": message, "error_type": kind})


def cost_summary(
    *,
    prompt_tokens: int,
    completion_tokens: int,
    total_cost: float,
    model: str | None,
    unpriced_calls: int = 0,
) -> dict[str, Any]:
    """The five numbers that clients show; never empty, and numbers throughout.

    When calls without a price are missing in `total_cost`, it says so.
    """
    missing = {"incomplete": True, "unpriced_calls": unpriced_calls} if unpriced_calls else {}
    return missing | {
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_cost": round(total_cost, 6),
        "model": model,
    }


class OssaEncoder(StoryEncoder):
    """Tells one run. `silent` are the types that the manifest's callbacks switch off."""

    def __init__(self, *, silent: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self._silent = silent

    def _say(self, event: Event, envelope: Envelope) -> list[Frame]:
        told = self._tell(event)
        return [json_frame(data) for data in told if data["type"] not in self._silent]

    def _break_off(self, envelope: Envelope) -> list[Frame]:
        return [error(INTERRUPTED, "Interrupted")]

    def _tell(self, event: Event) -> Iterator[dict[str, Any]]:
        match event:
            case events.ModelCallStarted():
                prompts = [self._story.prompt]
                yield {"type": "llm_start", "prompts": prompts, "model": event.model}
            case events.TextDelta():
                yield self._token(event)
            case events.ModelCallFinished():
                yield self._llm_end()
                yield from self._tool_starts()
            case events.ToolResult():
                yield from self._tool_starts()
                yield {"type": "tool_end", "tool": event.name, "output": event.content}
            case events.ToolFailed():
                yield from self._tool_starts()
                failed = {"error": event.error, "error_type": "ToolError"}
                yield {"type": "tool_error", "tool": event.name, **failed}
            case _:
                yield from self._tell_end(event)

    def _tell_end(self, event: Event) -> Iterator[dict[str, Any]]:
        match event:
            case events.RunFinished():
                yield {"type": "done", "result": self._story.text, "cost_summary": self._costs()}
            case events.RunFailed():
                yield {"type": "error", "error": event.message, "error_type": error_type(event)}
            case events.RunCancelled():
                yield {"type": "cancelled", "message": CANCELLED}

    def _token(self, event: events.TextDelta) -> dict[str, Any]:
        count, cost = len(self._story.pieces), float(self._story.cost)
        return {"type": "token", "token": event.delta, "token_count": count, "cost": cost}

    def _llm_end(self) -> dict[str, Any]:
        story = self._story
        told = {"full_response": story.call_text, "tokens": story.call_pieces}
        return {"type": "llm_end", **told, "cost_summary": self._costs()}

    def _tool_starts(self) -> Iterator[dict[str, Any]]:
        for called in self._story.take_called():
            yield {"type": "tool_start", "tool": called.name, "input": str(called.arguments)}

    def _costs(self) -> dict[str, Any]:
        story = self._story
        return cost_summary(
            prompt_tokens=story.prompt_tokens,
            completion_tokens=story.completion_tokens,
            total_cost=float(story.cost),
            model=story.model,
            unpriced_calls=story.unpriced_calls,
        )
