"""What the same tokens would have cost on other models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from costs import lines, money
from costs.pricing import Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What one call used, by class, and when it started, which decides its price."""

    by_class: Mapping[str, int]
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """The cost on one model; None when something of it has no price there."""

    model: str
    amount_pico: int | None

    @property
    def amount(self) -> str | None:
        return money.plain_or_none(self.amount_pico)


def compare(
    calls: Sequence[Used], prices: Mapping[str, Callable[[datetime], Price | None]]
) -> list[Alternative]:
    """Price each call as the models would have, the cheapest first, what is unknown last.

    Call by call, because the size of a prompt decides its rate. The tokens are those of the model
    that was used: another one cuts the same text into more or fewer.
    """
    found = [
        Alternative(model=model, amount_pico=_amount_pico(calls, price_at))
        for model, price_at in prices.items()
    ]
    return sorted(found, key=lambda a: (a.amount_pico is None, a.amount_pico or 0, a.model))


def _amount_pico(calls: Sequence[Used], price_at: Callable[[datetime], Price | None]) -> int | None:
    return lines.total_pico(
        [line for call in calls for line in lines.of(call.by_class, price_at(call.started_at))]
    )
