"""The dialect of AgentTheo: named events with both spellings of their fields."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, get_args

from chat import events
from chat.events import Envelope, Event
from chat.wire.frames import Frame, json_frame
from chat.wire.story import INTERRUPTED, StoryEncoder, error_type

StreamMode = Literal["messages", "updates", "custom"]
STREAM_MODES: tuple[StreamMode, ...] = get_args(StreamMode)
RETRY_MS = 15_000
#: The command that stops what runs.
STOP = "__STOP__"
CANCELLED = "Stream cancelled by client"
#: Shown as the total where nobody knows how many steps there will be.
UNKNOWN_TOTAL = 10
_UNTOLD: dict[str, frozenset[str]] = {
    "messages": frozenset(),
    "updates": frozenset({"token", "custom"}),
    "custom": frozenset({"token", "tool_start", "tool_end"}),
}
Said = tuple[str, dict[str, Any]]


class TheoEncoder(StoryEncoder):
    """Tells one run in one of the three modes."""

    def __init__(self, *, message_id: str, mode: StreamMode) -> None:
        super().__init__()
        self._message_id = message_id
        self._mode = mode
        self._steps = 0

    def _say(self, event: Event, envelope: Envelope) -> list[Frame]:
        told = self._tell(event, envelope.at)
        return [_frame(name, data) for name, data in told if name not in _UNTOLD[self._mode]]

    def _begin_anew(self, envelope: Envelope) -> Iterable[Frame]:
        self._steps = 0
        return super()._begin_anew(envelope)

    def _break_off(self, envelope: Envelope) -> list[Frame]:
        return [_frame(*_error(INTERRUPTED, "Interrupted"))]

    def _tell(self, event: Event, at: str) -> Iterator[Said]:
        match event:
            case events.MessageCompleted(role="user"):
                command = {"command": self._story.prompt, "stream_mode": self._mode}
                yield "start", {**command, "metadata": self._metadata()}
            case events.RunStarted():
                yield "status", {"message": "Agent initialized, starting task...", "details": {}}
            case events.TextDelta():
                count = len(self._story.pieces)
                both = {"token": event.delta, "content": event.delta}
                yield "token", {**both, "metadata": {**self._metadata(), "count": count}}
            case events.Progress():
                yield self._progress(event.step, event.total, event.message)
            case events.StepCompleted():
                self._steps += 1
                yield self._progress(self._steps, None, f"{event.node} completed")
            case events.Custom():
                yield "custom", {"name": event.name, "data": event.data}
            case _:
                yield from self._tell_of_tools(event)
                yield from self._tell_end(event, at)

    def _tell_of_tools(self, event: Event) -> Iterator[Said]:
        match event:
            case events.ToolCallEnded():
                for called in self._story.take_called():
                    told = {"tool": called.name, "input": called.arguments or {}}
                    both = {"tool_name": called.name, "tool_input": called.arguments or {}}
                    yield "tool_start", {**told, **both, "metadata": self._metadata()}
            case events.ToolResult():
                made = [ref.model_dump() for ref in event.artifacts]
                yield self._tool_end(event.name, event.content, made)
            case events.ToolFailed():
                yield self._tool_end(event.name, f"Error: {event.error}")

    def _tell_end(self, event: Event, at: str) -> Iterator[Said]:
        match event:
            case events.RunFinished():
                yield "complete", self._complete(at)
            case events.RunFailed():
                yield _error(event.message, error_type(event))
            case events.RunCancelled():
                yield _error(CANCELLED, "CancelledError")

    def _metadata(self) -> dict[str, Any]:
        return {"messageId": self._message_id}

    def _progress(self, step: int, total: int | None, message: str) -> Said:
        of = max(total or UNKNOWN_TOTAL, step)
        percentage = round(100 * step / of)
        told = {"step": step, "total": of, "percentage": percentage, "message": message}
        return "progress", {**told, "metadata": self._metadata()}

    def _tool_end(self, name: str, output: str, made: Sequence[dict[str, Any]] = ()) -> Said:
        told: dict[str, Any] = {"tool": name, "output": output}
        told |= {"tool_name": name, "tool_output": output}
        told |= {"artifacts": made} if made else {}
        return "tool_end", {**told, "metadata": self._metadata()}

    def _complete(self, at: str) -> dict[str, Any]:
        summary = {
            "tokens_streamed": len(self._story.pieces),
            "steps_completed": self._steps,
            "elapsed_time": round(self._story.elapsed_s(at), 2),
            **self._metadata(),
        }
        text = self._story.text
        return {"result": text, "content": text, "summary": summary, "metadata": self._metadata()}


class TheoSocketEncoder(StoryEncoder):
    """Tells one run on a WebSocket, in lines for people; tokens only to those who ask for them."""

    def __init__(self, *, streams_tokens: bool = False) -> None:
        super().__init__()
        self._streams_tokens = streams_tokens

    def _say(self, event: Event, envelope: Envelope) -> Iterator[Frame]:
        match event:
            case events.RunStarted():
                yield line(f"Processing: {self._story.prompt}")
            case events.TextDelta() if self._streams_tokens:
                yield json_frame({"message": event.delta, "type": "token", "streaming": True})
            case events.ToolResult():
                yield line(f"Used {event.name}")
            case events.ToolFailed():
                yield line(f"{event.name} failed: {event.error}")
            case events.RunFinished():
                yield line(f"Task completed: {self._story.text}", kind="agent")
            case events.RunCancelled():
                yield line("Task stopped by user")
            case events.RunFailed():
                yield line(event.message, kind="error")

    def _break_off(self, envelope: Envelope) -> list[Frame]:
        return [line(INTERRUPTED, kind="error")]


def line(message: str, *, kind: Literal["system", "agent", "error"] = "system") -> Frame:
    """One line of a socket."""
    return json_frame({"message": message, "type": kind})


def _frame(name: str, data: dict[str, Any]) -> Frame:
    return json_frame({"type": name, **data}, name=name)


def _error(message: str, kind: str) -> Said:
    told = {"message": message, "content": message, "error": message}
    return "error", {**told, "type": kind, "traceback": None}
