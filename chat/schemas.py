"""What the REST API takes and gives, as its OpenAPI description says it."""

import uuid
from datetime import date, datetime
from typing import Annotated, Any

from ninja import Field, Schema
from pydantic import ConfigDict

from chat.commands import IfRunning, MessageText, ModelName, Temperature, TokenLimit
from chat.positions import Reason

Title = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]


class Request(Schema):
    """A request body refuses fields that it does not know."""

    model_config = ConfigDict(extra="forbid")


class Problem(Schema):
    detail: str
    code: str


class SessionIn(Request):
    session_id: str | None = Field(None, description="Chosen by the client; private to its owner.")
    title: Title = ""
    model: ModelName | None = None


class SessionChange(Request):
    title: Title | None = None
    model: ModelName | None = None


class SessionOut(Schema):
    session_id: str
    title: str
    model: str
    created_at: datetime
    updated_at: datetime
    epoch: str = Field(description="Names this incarnation of the session's log.")
    last_seq: int = Field(description="The seq of the session's newest event.")
    active_run_id: uuid.UUID | None


class SessionPage(Schema):
    items: list[SessionOut]
    next_cursor: str | None


class MessageIn(Request):
    text: MessageText
    model: ModelName | None = None
    if_running: IfRunning = "reject"
    temperature: Temperature | None = Field(None, description="For models that take one.")
    max_tokens: TokenLimit | None = Field(None, description="At most; the operator may allow less.")


class RetryIn(Request):
    model: ModelName | None = Field(None, description="Another model than the first time.")


class MessageOut(Schema):
    message_id: uuid.UUID = Field(alias="id")
    run_id: uuid.UUID
    role: str
    parts: list[dict[str, Any]]
    stop_reason: str
    seq: int
    created_at: datetime


class MessagePage(Schema):
    items: list[MessageOut]
    next_before: int | None


class Snapshot(Schema):
    """What a reader that has lost its place is given: the newest messages, the oldest first."""

    reason: Reason
    epoch: str
    after: int = Field(description="The stream goes on with the events after this seq.")
    messages: list[MessageOut]
    next_before: int | None = Field(description="Where a page of older messages starts.")


class RunAccepted(Schema):
    run_id: uuid.UUID
    message_id: uuid.UUID
    seq: int = Field(description="The seq of the user's message; follow the session after it.")


class UsageOut(Schema):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    by_class: dict[str, int]


class ClassCharge(Schema):
    """What is charged for one class of tokens, or for a fee."""

    token_class: str
    quantity: int = Field(description="Tokens; of a fee it is the requests.")
    cost: str | None = Field(description="Null when nothing of it has a price.")


class CallOut(Schema):
    call_id: uuid.UUID
    attempt: int
    provider: str
    model: str
    served_model: str
    tool: str = Field(description="The tools whose results it answers, with commas.")
    status: str
    usage_source: str
    usage: UsageOut
    charges: list[ClassCharge]
    flags: list[str]
    error_code: str
    started_at: datetime
    ended_at: datetime | None


class Timings(Schema):
    created_at: datetime
    started_at: datetime | None
    first_token_at: datetime | None
    ended_at: datetime | None


class StreamOut(Schema):
    """What the answer's stream was like; null is what is not known, or not yet."""

    first_chunk_latency_s: float | None = Field(
        description="From the run's start to the first output of any kind."
    )
    total_chunks: int | None = Field(
        description="In how many pieces the model sent the text; null when its worker died."
    )
    total_chars: int | None = Field(description="Characters of the answer's text.")
    duration_s: float | None = Field(description="From the run's start to its end.")


class RunError(Schema):
    code: str
    detail: str


class RunOut(Schema):
    run_id: uuid.UUID
    session_id: str
    status: str
    model: str
    attempt: int
    usage: UsageOut
    cost: str | None = Field(description="USD as a plain decimal; null when nothing is priced.")
    currency: str
    estimated: bool
    unpriced_calls: int
    charges: list[ClassCharge] = Field(description="The parts of the cost, by class of tokens.")
    calls: list[CallOut]
    timings: Timings
    stream: StreamOut
    error: RunError | None


class ModelPrice(Schema):
    input: str
    output: str
    currency: str = "USD"


class ModelOut(Schema):
    model: str
    provider: str
    name: str
    is_default: bool
    supports_tools: bool
    price: ModelPrice | None = Field(description="USD per million tokens; null when unknown.")


class ModelList(Schema):
    items: list[ModelOut]
    default: str


class RunCosts(Schema):
    run_id: uuid.UUID
    cost: str | None
    estimated: bool
    prompt_tokens: int
    completion_tokens: int


class SessionCosts(Schema):
    session_id: str
    total: str | None
    currency: str = "USD"
    prompt_tokens: int
    completion_tokens: int
    estimated: bool
    unpriced_calls: int
    charges: list[ClassCharge] = Field(description="The parts of the total, by class of tokens.")
    runs: list[RunCosts]


class ModelCost(Schema):
    model: str
    cost: str | None = Field(description="Null when something of it has no known price there.")
    difference: str | None = Field(description="To what was charged; below zero is cheaper.")


class CostComparison(Schema):
    """The tokens that were used, at the prices of other models at the time."""

    cost: str | None = Field(description="What was charged; null when nothing is priced.")
    currency: str = "USD"
    estimated: bool
    unpriced_calls: int
    models: list[ModelCost] = Field(description="The cheapest first, the unknown last.")


class CostSums(Schema):
    cost: str | None = Field(description="As a plain decimal; null when nothing is priced.")
    estimated_cost: str = Field(description="Of the cost, what is charged by an estimate.")
    wasted_cost: str = Field(
        description="Of the cost, calls that were stopped, failed, cut off, left or done again."
    )
    calls: int
    unpriced_calls: int = Field(description="Calls that are missing in the cost.")
    prompt_tokens: int
    cached_tokens: int = Field(description="Of the prompt tokens, those read from a cache.")
    completion_tokens: int


class CostLine(CostSums):
    """The sums of one group, which has the names that were asked for."""

    day: date | None = None
    model: str | None = None
    provider: str | None = None
    user: str | None = None
    session: str | None = None
    run: uuid.UUID | None = None
    tool: str | None = None
    status: str | None = None
    token_class: str | None = None


class Percentiles(Schema):
    p50: int | None
    p95: int | None
    p99: int | None


class ModelLatency(Schema):
    model: str = Field(description="As provider:model; empty is all together.")
    calls: int
    first_token_ms: Percentiles
    duration_ms: Percentiles


class ExchangeRateOut(Schema):
    day: date
    per_usd: str = Field(description="What a USD is worth, as a plain decimal.")


class CostReport(Schema):
    first: date = Field(alias="from")
    last: date = Field(alias="to")
    group_by: list[str]
    currency: str
    exchange_rate: ExchangeRateOut | None = Field(
        description="By which all amounts are converted; null for USD."
    )
    items: list[CostLine] = Field(description="The most expensive groups; days in their order.")
    groups: int = Field(description="How many there are, also beyond the limit.")
    total: CostSums = Field(description="The sums of all groups, shown or not.")
    latency: list[ModelLatency] = Field(description="Of the newest 10,000 complete calls.")


class Healthy(Schema):
    status: str
    agent: str
    version: str
    timestamp: datetime


class Alive(Schema):
    status: str


class Health(Schema):
    status: str
    parts: dict[str, str]
