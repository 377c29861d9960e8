"""One request to a provider while it happens: counted with every token, charged when it ends."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from chat import events
from chat.allowance import Allowance
from chat.committer import RunBuffer, Write
from costs import ledger, lines, money, pricing, wire_usage
from costs.budget_windows import Spender
from costs.ledger import CallResult, Payer
from costs.models import ModelCall
from costs.pricing import Price
from costs.tally import Tally
from costs.tariffs import Tariff
from costs.usage import Usage
from costs.wire_usage import WireFormat

KEEP_EVERY_S = 2.0
KEEP_EVERY_TOKENS = 500
#: Failures without an answer after which nobody knows whether the provider was at work.
SILENT_FAILURES = ("timeout", "interrupted")

Status = ModelCall.Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which model a request is for, and by which prices it is charged."""

    provider: str
    model: str
    tariff: Tariff


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedCall:
    """What there is to tell, to store and to add up of a call that has ended."""

    event: events.ModelCallFinished
    write: Write
    allowance: Allowance
    usage: Usage
    #: What of it has a price; None when nothing has.
    amount_pico: int | None
    is_priced: bool
    finish_reason: str


@dataclass(slots=True, kw_only=True)
class CallMeter:
    """One request to a provider, from before it is sent until it has ended."""

    buffer: RunBuffer
    payer: Payer
    target: Target
    tally: Tally
    on_end: Callable[["EndedCall"], None]
    call_id: uuid.UUID = field(default_factory=uuid.uuid4)
    started_at: datetime = field(default_factory=timezone.now)
    first_token_at: datetime | None = None
    served_model: str = ""
    #: What the provider says that it served: priority, flex, batch ...
    service_tier: str = ""
    #: What the provider says that it charges, in whole pico-USD.
    stated_pico: int | None = None
    provider_request_id: str = ""
    #: The price of what was asked for, for as long as nothing else is known.
    price: Price | None = None
    #: What the provider said it will say at the end: stop, length, tool_calls ...
    finish_reason: str = ""
    allowance: Allowance = field(init=False)
    _kept_at: float = field(default_factory=time.monotonic)
    _kept_tokens: int = 0
    _is_closed: bool = False
    _prompt_pico: int = 0
    _output_rate: int | None = None

    def __post_init__(self) -> None:
        self.allowance = Allowance(call_id=self.call_id, buffer=self.buffer)
        self.price = price = self.target.tariff.price(self.target.model, at=self.started_at)
        if price:
            prompt = lines.of({"input": self.tally.prompt_tokens}, price)
            self._prompt_pico = lines.known_pico(prompt) or 0
            self._output_rate = price.rate_pico("output", prompt_tokens=self.tally.prompt_tokens)

    @property
    def has_output(self) -> bool:
        return self.tally.has_output

    @property
    def amount_pico(self) -> int | None:
        """What the estimate costs; asked for with every token, so the rates are kept at hand."""
        if self._output_rate is None:
            return None
        return self._prompt_pico + money.amount_pico(
            quantity=self.tally.output_tokens, rate_pico_per_m=self._output_rate
        )

    async def ask_budgets(self, *, most_tokens: int) -> None:
        """Set aside what the call may cost. Raises budgets.Exceeded."""
        payer = self.payer
        spender = Spender(
            owner_key=payer.owner_key,
            session_key=payer.session_key,
            model=f"{self.target.provider}:{self.target.model}",
            api_key=payer.api_key,
        )
        await self.allowance.ask(
            spender,
            at=self.started_at,
            prompt_pico=self._prompt_pico,
            output_rate=self._output_rate,
            most_tokens=most_tokens,
        )

    def tell_started(self, *, tool: str) -> None:
        """Say that the request is about to be sent, and record it with that."""
        provider, model = self.target.provider, self.target.model
        self.buffer.add(
            events.ModelCallStarted(call_id=str(self.call_id), provider=provider, model=model),
            lambda _: ledger.open_call(
                call_id=self.call_id,
                payer=self.payer,
                provider=provider,
                model=model,
                price=self.price,
                prompt=self.tally.estimate,
                started_at=self.started_at,
                tool=tool,
            ),
        )

    async def keep_to_budgets(self) -> None:
        """Say what the call has cost so far. Raises budgets.Exceeded when it may cost no more."""
        await self.allowance.keep_to(self.amount_pico, output_rate=self._output_rate)

    def output(self, text: str) -> None:
        """Count a piece that has just arrived; one without text may be the first of an answer."""
        if text and self.first_token_at is None:
            self.first_token_at = timezone.now()
        self.tally.add_piece(text)

    def provider_usage(self, raw: dict[str, Any], usage_format: WireFormat) -> None:
        """Take the provider's own count, and what stands beside it."""
        self.tally.take(raw, usage_format)
        self.stated_pico = pricing.stated_pico(self.tally.raw)
        self.service_tier = wire_usage.service_tier(self.tally.raw)

    def keep(self) -> None:
        """Store from the first output on, now and then, what would be lost with the worker."""
        used, now = self.tally.output_tokens, time.monotonic()
        is_due = now - self._kept_at >= KEEP_EVERY_S or not self._kept_tokens
        if not used or not (is_due or used - self._kept_tokens >= KEEP_EVERY_TOKENS):
            return
        self._kept_at, self._kept_tokens = now, used
        call_id, first_token_at = self.call_id, self.first_token_at
        usage = self.tally.best()
        self.buffer.also(
            lambda _: ledger.keep_usage(call_id=call_id, usage=usage, first_token_at=first_token_at)
        )

    def close(self, status: ModelCall.Status, *, error_code: str = "") -> None:
        """End the call and charge it. Does not wait: the task may be being cancelled."""
        if self._is_closed:
            return
        self._is_closed = True
        result = self._result(status, error_code)
        usage = result.usage or Usage()
        charged = lines.of(usage.by_class(), result.price, stated_pico=self.stated_pico)
        counted = result.usage_source == ModelCall.UsageSource.PROVIDER
        finished = events.ModelCallFinished(
            call_id=str(self.call_id),
            status=status.value,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            usage=usage.by_class(),
            cost=money.plain_or_none(lines.total_pico(charged)) if charged else None,
            is_estimated=result.usage is not None and not counted,
        )
        self.on_end(
            EndedCall(
                event=finished,
                write=lambda _: ledger.close_call(result),
                allowance=self.allowance,
                usage=usage,
                amount_pico=lines.known_pico(charged) if charged or not result.price else 0,
                is_priced=lines.total_pico(charged) is not None,
                finish_reason=self.finish_reason,
            )
        )

    def _result(self, status: ModelCall.Status, error_code: str) -> CallResult:
        usage, source, flags = self.tally.final(status, is_finished=bool(self.finish_reason))
        if usage is None and error_code in SILENT_FAILURES:
            flags += ("billing_uncertain",)
        price = self._price_served()
        if price and price.service_tier != pricing.tier_of(self.service_tier):
            flags += ("tier_not_priced",)
        return CallResult(
            call_id=self.call_id,
            status=status,
            usage=usage,
            usage_source=source,
            usage_raw=wire_usage.storable(self.tally.raw),
            price=price,
            service_tier=self.service_tier,
            stated_pico=self.stated_pico,
            served_model=self.served_model,
            provider_request_id=self.provider_request_id,
            error_code=error_code,
            flags=flags,
            first_token_at=self.first_token_at,
            ended_at=timezone.now(),
        )

    def _price_served(self) -> Price | None:
        model = self.served_model or self.target.model
        return self.target.tariff.price(model, at=self.started_at, service_tier=self.service_tier)
