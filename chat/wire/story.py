"""What the older dialects need to remember of a run while they tell it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from chat import events
from chat.events import Event
from chat.parts import text_of

#: What a program would call the failures, after the exceptions that it knows.
ERROR_TYPES = {
    "rate_limited": "RateLimitError",
    "refused": "AuthenticationError",
    "unavailable": "ServiceUnavailableError",
    "invalid_request": "BadRequestError",
    "timeout": "TimeoutError",
    "step_limit": "GraphRecursionError",
    "worker_lost": "Interrupted",
    "interrupted": "Interrupted",
    "truncated": "Interrupted",
}
INTERRUPTED = "The answer was interrupted. Send the message again."


@dataclass(slots=True)
class Story:
    """One run as it has been told so far."""

    prompt: str = ""
    model: str | None = None
    #: The pieces of text of the whole run, and how many of them came in the open model call.
    pieces: list[str] = field(default_factory=list)
    call_pieces: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: Decimal = Decimal(0)
    started_at: str = ""
    tool_calls: int = 0
    tool_errors: int = 0
    #: Calls whose arguments are complete; they are told once the model call has ended.
    called: list[events.ToolCallEnded] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def call_text(self) -> str:
        """The text of the newest model call."""
        return "".join(self.pieces[len(self.pieces) - self.call_pieces :])

    def take(self, event: Event, *, at: str) -> None:
        """Remember what an event says."""
        match event:
            case events.RunStarted():
                self.started_at = at
            case events.MessageCompleted(role="user"):
                self.prompt = text_of(event.parts)
            case events.ModelCallStarted():
                self.model = event.model
                self.call_pieces = 0
                self.calls += 1
            case events.TextDelta():
                self._take_text(event)
            case events.CostUpdated():
                self._take_cost(event)
            case events.ToolCallEnded():
                self.called.append(event)
            case events.ToolResult() | events.ToolFailed():
                self.tool_calls += 1
                self.tool_errors += isinstance(event, events.ToolFailed)

    def forget_attempt(self) -> None:
        """Begin anew: another worker answers, and nobody has heard anything yet."""
        self.pieces.clear()
        self.called.clear()
        self.call_pieces = self.calls = self.tool_calls = self.tool_errors = 0

    def take_called(self) -> Iterator[events.ToolCallEnded]:
        """Give the tool calls that have not been told yet."""
        called, self.called = self.called, []
        yield from called

    def elapsed_s(self, at: str) -> float:
        """The seconds from the start of the run to `at`."""
        if not self.started_at:
            return 0.0
        return (
            datetime.fromisoformat(at) - datetime.fromisoformat(self.started_at)
        ).total_seconds()

    def _take_text(self, event: events.TextDelta) -> None:
        self.pieces.append(event.delta)
        self.call_pieces += 1
        if event.cost is not None:
            self.cost = max(self.cost, Decimal(event.cost))

    def _take_cost(self, event: events.CostUpdated) -> None:
        self.prompt_tokens = event.prompt_tokens
        self.completion_tokens = event.completion_tokens
        if event.total is not None:
            self.cost = Decimal(event.total)


def error_type(failed: events.RunFailed) -> str:
    """The class name under which programs know such a failure."""
    return ERROR_TYPES.get(failed.code, "RuntimeError")
