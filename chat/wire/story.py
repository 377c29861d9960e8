"""What the older dialects need to remember of a run while they tell it, and when they are done."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from chat import events
from chat.events import Envelope, Event
from chat.parts import text_of
from chat.wire.frames import Frame

#: What a program would call the failures, after the exceptions that it knows.
ERROR_TYPES = {
    "rate_limited": "RateLimitError",
    "authentication": "AuthenticationError",
    "refused": "ContentFilterError",
    "context_too_long": "BadRequestError",
    "unavailable": "ServiceUnavailableError",
    "invalid_request": "BadRequestError",
    "timeout": "TimeoutError",
    "step_limit": "GraphRecursionError",
    "worker_lost": "Interrupted",
    "interrupted": "Interrupted",
    "truncated": "Interrupted",
}
INTERRUPTED = "The answer was interrupted. Send the message again."
#: To clients of the older systems, a run that took too long has failed.
TIMED_OUT = "Request timeout"
#: Behind a text that is not all.
BROKEN_OFF = "\n[Error: Stream interrupted]"


@dataclass(slots=True)
class Story:
    """One run as it has been told so far."""

    prompt: str = ""
    model: str | None = None
    #: The pieces of text of the whole run, and how many of them came in the open model call.
    pieces: list[str] = field(default_factory=list)
    call_pieces: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: Decimal = Decimal(0)
    unpriced_calls: int = 0
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
        self.call_pieces = self.tool_calls = self.tool_errors = 0

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
        self.unpriced_calls = event.unpriced_calls
        self.prompt_tokens = event.prompt_tokens
        self.completion_tokens = event.completion_tokens
        if event.total is not None:
            self.cost = Decimal(event.total)


def error_type(failed: events.RunFailed) -> str:
    """The class name under which programs know such a failure."""
    return ERROR_TYPES.get(failed.code, "RuntimeError")


class StoryEncoder(ABC):
    """Tells one run to a reader from whom nothing that was shown can be taken back."""

    def __init__(self) -> None:
        self._story = Story()
        self.is_over = False

    def encode(self, envelope: Envelope) -> list[Frame]:
        """Give what the dialect says of this event; nothing once everything is said."""
        if self.is_over:
            return []
        event = envelope.event
        self._story.take(event, at=envelope.at)
        self.is_over = envelope.is_terminal
        if isinstance(event, events.RunCancelled) and event.reason == "timed_out":
            event = events.RunFailed(code="timeout", message=TIMED_OUT)
        if isinstance(event, events.AttemptStarted):
            return list(self._begin_anew(envelope))
        return list(self._say(event, envelope))

    def _begin_anew(self, envelope: Envelope) -> Iterable[Frame]:
        """Another worker answers: nobody notices, unless text was shown already."""
        if self._story.pieces:
            self.is_over = True
            return self._break_off(envelope)
        self._story.forget_attempt()
        return ()

    @abstractmethod
    def _say(self, event: Event, envelope: Envelope) -> Iterable[Frame]:
        """Tell an event, which the story has taken already."""

    @abstractmethod
    def _break_off(self, envelope: Envelope) -> Iterable[Frame]:
        """End the telling of a run that goes on with another attempt."""
