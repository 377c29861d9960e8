"""The cost of a run while it happens: an estimate with every token, exact when a call ends.

A Meter belongs to one attempt of a run. Each request to a provider gets a CallMeter, which is
opened before the request is sent and closed exactly once, however the request ends.
"""

import asyncio
from dataclasses import dataclass, field

from chat import events
from chat.allowance import Allowance
from chat.call_meter import CallMeter, EndedCall, Target
from chat.committer import RunBuffer
from costs import ledger, money, tokens
from costs.ledger import Payer
from costs.tally import Tally
from costs.tariffs import Tariff
from costs.usage import Usage


@dataclass(slots=True, kw_only=True)
class Meter:
    """What one attempt of a run has cost so far. Amounts are whole pico-USD."""

    buffer: RunBuffer
    payer: Payer
    provider: str
    model: str
    tariff: Tariff
    #: What earlier attempts cost: it was billed, so it stays in the run's total.
    carried: ledger.Total = ledger.NOTHING
    #: Why the last call ended, in the provider's words: stop, length, content_filter ...
    finish_reason: str = ""
    _settled: Usage = field(default_factory=Usage)
    _settled_pico: int | None = None
    _is_estimated: bool = False
    _unpriced_calls: int = 0
    _open: CallMeter | None = None
    _ended: list[EndedCall] = field(default_factory=list)
    _unsettled: list[Allowance] = field(default_factory=list)

    async def open_call(
        self,
        *,
        prompt: str,
        messages: int,
        most_tokens: int,
        tool: str = "",
        target: Target | None = None,
    ) -> CallMeter:
        """Record, durably, that a request is about to be sent; by default for the run's model.

        Its output has `most_tokens` at most; `tool` names those whose results it answers. Raises
        budgets.Exceeded.
        """
        to = target or Target(provider=self.provider, model=self.model, tariff=self.tariff)
        call = CallMeter(
            buffer=self.buffer,
            payer=self.payer,
            target=to,
            on_end=self._ended.append,
            tally=Tally(prompt_tokens=tokens.estimate(prompt) + messages * tokens.MESSAGE_OVERHEAD),
        )
        self.tell_ended()
        if self._unsettled:
            # What the last call has set aside is there for this one.
            await self.buffer.flush()
            await self.settle()
        try:
            await call.ask_budgets(most_tokens=most_tokens)
        except asyncio.CancelledError:
            # It may have been set aside all the same.
            self._unsettled.append(call.allowance)
            raise
        self._open = call
        call.tell_started(tool=tool)
        self.buffer.add(self.total())
        await self.buffer.flush()
        return call

    @property
    def completion_tokens(self) -> int:
        """The run's output so far, with the estimate of the call that is open."""
        opened = self._open.tally.output_tokens if self._open else 0
        return self.carried.completion_tokens + self._settled.completion_tokens + opened

    @property
    def cost(self) -> str | None:
        """The run's cost so far in USD, or None when nothing in it has a price."""
        return money.plain_or_none(self._amount_pico())

    def total(self) -> events.CostUpdated:
        """The event that says what the run has cost so far."""
        opened = self._open.tally.estimate if self._open else Usage()
        usage = self._settled + opened
        return events.CostUpdated(
            total=self.cost,
            estimated=self._is_estimated or self.carried.is_estimated or self._open is not None,
            prompt_tokens=self.carried.prompt_tokens + usage.prompt_tokens,
            completion_tokens=self.carried.completion_tokens + usage.completion_tokens,
            unpriced_calls=self.carried.unpriced_calls + self._unpriced_calls,
        )

    def tell_ended(self) -> None:
        """Settle the calls that have ended, once all that they said has been told.

        A call ends when its last piece has been read, and that is before the agent has passed
        the piece on; until then its estimate stands.
        """
        ended = list(self._ended)
        self._ended.clear()
        for call in ended:
            self._open = None
            self._settled += call.usage
            self._settled_pico = _sum(self._settled_pico, call.amount_pico)
            self._is_estimated |= call.event.is_estimated
            self._unpriced_calls += not call.is_priced
            self.finish_reason = call.finish_reason
            if call.allowance.is_held:
                self._unsettled.append(call.allowance)
            # What is told of a call's end has its true cost already.
            self.buffer.add(self.total(), call.write)
            self.buffer.add(call.event)

    async def settle(self) -> None:
        """Give back to the budgets what calls did not use, once their charges are committed."""
        while self._unsettled:
            await self._unsettled.pop().settle()

    def _amount_pico(self) -> int | None:
        opened = self._open.amount_pico if self._open else None
        return _sum(_sum(self._settled_pico, opened), self.carried.amount_pico)


def _sum(first: int | None, second: int | None) -> int | None:
    """Add amounts; what is not known adds nothing, and nothing known stays unknown."""
    if first is None or second is None:
        return second if first is None else first
    return first + second
