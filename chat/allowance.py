"""What a request may cost: asked of the budgets before it is sent, and when it has used it up."""

import logging
import uuid
from dataclasses import dataclass
from datetime import datetime

from chat import database, events
from chat.committer import RunBuffer
from costs import budgets, money
from costs.budget_windows import Spender
from costs.budgets import Exceeded, Notice

logger = logging.getLogger(__name__)

#: So many tokens of output are asked for at once when what was granted is used up.
MORE_TOKENS = 500


@dataclass(slots=True, kw_only=True)
class Allowance:
    """What one call may cost, set aside in all budgets that it falls under."""

    call_id: uuid.UUID
    buffer: RunBuffer
    #: Whole pico-USD; None is anything, as without a budget.
    pico: int | None = None
    #: Whether budgets wait to be told what the call did cost.
    is_held: bool = False

    async def ask(
        self,
        spender: Spender,
        *,
        at: datetime,
        prompt_pico: int,
        output_rate: int | None,
        most_tokens: int,
    ) -> None:
        """Set aside what the prompt costs and up to `most_tokens` of output.

        Raises Exceeded when a budget has no room for the prompt and a first token, PriceUnknown
        when one wants to know the price.
        """
        costs = [prompt_pico + _output(tokens, output_rate) for tokens in (1, most_tokens)]
        least, most = costs if output_rate is not None else (None, None)
        try:
            granted = await database.patiently(
                budgets.hold,
                call_id=self.call_id,
                spender=spender,
                at=at,
                least_pico=least,
                most_pico=most,
            )
        except Exceeded as error:
            self._tell_exceeded(error.notice)
            raise
        self.pico, self.is_held = granted.pico, granted.is_held
        for notice in granted.warnings:
            self.buffer.add(
                events.BudgetWarning(
                    scope=notice.scope, period=notice.period, percent=notice.percent
                )
            )

    async def keep_to(self, pico: int | None, *, output_rate: int | None) -> None:
        """Compare what the call has cost so far. Raises Exceeded when it may cost no more."""
        if self.pico is None or pico is None or pico <= self.pico:
            return
        more = max(_output(MORE_TOKENS, output_rate), pico - self.pico)
        try:
            self.pico += await database.patiently(
                budgets.extend, call_id=self.call_id, more_pico=more
            )
        except Exceeded as error:
            self._tell_exceeded(error.notice)
            raise

    async def settle(self) -> None:
        """Settle the call, whose entries must be committed; else the workers do so in a while."""
        try:
            await database.write(budgets.settle, self.call_id)
        except database.Unavailable as error:
            logger.warning("Call %s is settled later: %s", self.call_id, error)

    def _tell_exceeded(self, notice: Notice) -> None:
        self.buffer.add(events.BudgetExceeded(scope=notice.scope, period=notice.period))


def _output(quantity: int, rate: int | None) -> int:
    return money.amount_pico(quantity=quantity, rate_pico_per_m=rate or 0)
