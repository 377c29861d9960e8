"""Everything that happens in a chat session, as typed events, and the envelope that carries one.

An event says what happened; its envelope says where in the session's order (`seq`), in which run
and attempt, and when. Fields are only ever added; readers skip types they do not know.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter

from chat.parts import ArtifactRefs, Part, Value

StopReason = Literal["stop", "length", "content_filter", "cancelled", "failed"]
CancelReason = Literal["requested", "interrupted", "rolled_back", "disconnected", "timed_out"]


class RunQueued(Value):
    type: Literal["run.queued"] = "run.queued"
    model: str
    #: The id of the run that this one asks again.
    retry_of: str | None = None


class RunStarted(Value):
    type: Literal["run.started"] = "run.started"
    model: str


class RunFinished(Value):
    type: Literal["run.finished"] = "run.finished"
    stop_reason: StopReason = "stop"


class RunFailed(Value):
    type: Literal["run.failed"] = "run.failed"
    code: str
    message: str


class RunCancelled(Value):
    type: Literal["run.cancelled"] = "run.cancelled"
    #: After "rolled_back" the run's messages are no longer part of the conversation.
    reason: CancelReason = "requested"


class AttemptStarted(Value):
    """A new worker took the run over: what attempt `replaces` had shown is void."""

    type: Literal["attempt.started"] = "attempt.started"
    replaces: int


class MessageStarted(Value):
    type: Literal["message.started"] = "message.started"
    message_id: str
    role: Literal["user", "assistant"]
    #: The key that the client sent the message with, so that it knows its own.
    idempotency_key: str | None = None


class MessageCompleted(Value):
    type: Literal["message.completed"] = "message.completed"
    message_id: str
    role: Literal["user", "assistant"]
    parts: list[Part]
    stop_reason: StopReason = "stop"


class PartEvent(Value):
    message_id: str
    #: The place of the part in the message, from 0.
    part: int


class TextStarted(PartEvent):
    type: Literal["text.started"] = "text.started"


class TextDelta(PartEvent):
    type: Literal["text.delta"] = "text.delta"
    delta: str
    #: The run's output so far in tokens, estimated until its model call ends.
    tokens: int = 0
    #: The run's cost so far in USD, as a plain decimal; None when nothing has a price.
    cost: str | None = None


class TextEnded(PartEvent):
    type: Literal["text.ended"] = "text.ended"


class ReasoningStarted(PartEvent):
    type: Literal["reasoning.started"] = "reasoning.started"


class ReasoningDelta(PartEvent):
    type: Literal["reasoning.delta"] = "reasoning.delta"
    delta: str
    tokens: int = 0
    cost: str | None = None


class ReasoningEnded(PartEvent):
    type: Literal["reasoning.ended"] = "reasoning.ended"


class ToolCallEvent(PartEvent):
    tool_call_id: str
    name: str


class ToolCallStarted(ToolCallEvent):
    type: Literal["tool_call.started"] = "tool_call.started"


class ToolCallDelta(PartEvent):
    """The next piece of the arguments' JSON text, as the model writes it."""

    type: Literal["tool_call.delta"] = "tool_call.delta"
    delta: str
    tokens: int = 0
    cost: str | None = None


class ToolCallEnded(ToolCallEvent):
    type: Literal["tool_call.ended"] = "tool_call.ended"
    arguments: dict[str, Any] | None


class ToolProgress(Value):
    type: Literal["tool.progress"] = "tool.progress"
    message_id: str
    name: str
    text: str


class ToolResult(ToolCallEvent):
    type: Literal["tool.result"] = "tool.result"
    content: str
    artifacts: ArtifactRefs = ()


class ToolFailed(ToolCallEvent):
    type: Literal["tool.failed"] = "tool.failed"
    error: str


class Progress(Value):
    type: Literal["progress"] = "progress"
    step: int
    total: int | None = None
    message: str = ""


class StepCompleted(Value):
    type: Literal["step.completed"] = "step.completed"
    node: str


class Custom(Value):
    type: Literal["custom"] = "custom"
    name: str
    data: Any = None


class ModelCallStarted(Value):
    type: Literal["model_call.started"] = "model_call.started"
    call_id: str
    provider: str
    model: str


class ModelCallFinished(Value):
    type: Literal["model_call.finished"] = "model_call.finished"
    call_id: str
    #: How the call ended: complete, truncated, cancelled or failed.
    status: str
    prompt_tokens: int
    completion_tokens: int
    #: Tokens by class, without overlap; only the classes that occurred.
    usage: dict[str, int]
    #: USD as a plain decimal; None when the model has no known price.
    cost: str | None
    is_estimated: bool


class CostUpdated(Value):
    """The run's cost so far: an estimate while a call is open, exact after it."""

    type: Literal["cost.updated"] = "cost.updated"
    total: str | None
    currency: str = "USD"
    estimated: bool
    prompt_tokens: int
    completion_tokens: int
    unpriced_calls: int = 0


class BudgetWarning(Value):
    """A budget that pays for the run is nearly used up."""

    type: Literal["budget.warning"] = "budget.warning"
    #: Whose it is: everything, user, api_key, session or model.
    scope: str
    #: day or month.
    period: str
    percent: int


class BudgetExceeded(Value):
    """A budget has no room for what the run was about to use; the run ends."""

    type: Literal["budget.exceeded"] = "budget.exceeded"
    scope: str
    period: str


Delta = TextDelta | ReasoningDelta | ToolCallDelta
Terminal = RunFinished | RunFailed | RunCancelled
Event = (
    RunQueued
    | RunStarted
    | Terminal
    | AttemptStarted
    | MessageStarted
    | MessageCompleted
    | TextStarted
    | TextEnded
    | ReasoningStarted
    | ReasoningEnded
    | Delta
    | ToolCallStarted
    | ToolCallEnded
    | ToolProgress
    | ToolResult
    | ToolFailed
    | Progress
    | StepCompleted
    | Custom
    | ModelCallStarted
    | ModelCallFinished
    | CostUpdated
    | BudgetWarning
    | BudgetExceeded
)

TERMINAL_TYPES = frozenset({"run.finished", "run.failed", "run.cancelled"})
DELTA_TYPES = frozenset({"text.delta", "reasoning.delta", "tool_call.delta"})

#: The types that this version knows; a newer one may have written others.
TYPES = frozenset(get_args(kind.model_fields["type"].annotation)[0] for kind in get_args(Event))

_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])


def merge(first: Event, second: Event) -> Event | None:
    """Join two neighbouring deltas of one part, or return None when they cannot be joined."""
    if not isinstance(first, Delta) or not isinstance(second, type(first)):
        return None
    if (first.part, first.message_id) != (second.part, second.message_id):
        return None
    return second.model_copy(update={"delta": first.delta + second.delta})


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """One event of the log: `body` is the event's JSON, `at` an ISO 8601 time in UTC."""

    seq: int
    session_id: str
    run_id: str
    attempt: int
    at: str
    type: str
    body: str

    @cached_property
    def event(self) -> Event:
        """The event itself; raises pydantic.ValidationError for a type from a newer version."""
        return _EVENT.validate_json(self.body)

    @property
    def is_terminal(self) -> bool:
        return self.type in TERMINAL_TYPES


def merge_envelopes(envelopes: list[Envelope]) -> list[Envelope]:
    """Join neighbouring deltas of one part, for a reader that has fallen behind.

    A joined envelope has the `seq` of its last event, so that resuming after it is exact.
    """
    merged: list[Envelope] = []
    for envelope in envelopes:
        joined = _join(merged[-1], envelope) if merged else None
        if joined is None:
            merged.append(envelope)
        else:
            merged[-1] = joined
    return merged


def _join(first: Envelope, second: Envelope) -> Envelope | None:
    if first.type not in DELTA_TYPES or first.type != second.type:
        return None
    if (first.run_id, first.attempt) != (second.run_id, second.attempt):
        return None
    event = merge(first.event, second.event)
    if event is None:
        return None
    return Envelope(
        seq=second.seq,
        session_id=second.session_id,
        run_id=second.run_id,
        attempt=second.attempt,
        at=second.at,
        type=second.type,
        body=event.model_dump_json(),
    )
