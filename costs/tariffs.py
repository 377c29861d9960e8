"""Which price a call has: a row of the admin goes before the provider's list."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from costs import pricing, rates
from costs.models import PriceOverride
from costs.pricing import Price

#: A provider's own list: a model's name and a time give the price that holds then.
PriceList = Callable[[str, datetime], Price | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """The prices of one provider, as they were known when it was made; asks no database."""

    provider: str
    listed: PriceList
    overrides: Sequence[PriceOverride] = ()

    def price(self, model: str, *, at: datetime, service_tier: str = "") -> Price | None:
        """The price of a model at a time, or None when it is not known.

        A tier that has no price of its own is given the standard one: the price's own
        `service_tier` says which it is.
        """
        tier = pricing.tier_of(service_tier)
        if own := self._override(model, tier, at):
            return own
        listed = self.listed(model, at)
        if listed and listed.at_tier(tier).service_tier == tier:
            return listed.at_tier(tier)
        return self._override(model, "", at) or listed

    def _override(self, model: str, tier: str, at: datetime) -> Price | None:
        rows = [
            row
            for row in self.overrides
            if row.service_tier == tier
            and row.valid_from <= at
            and fnmatchcase(model.lower(), row.model_pattern.lower())
        ]
        newest = max(rows, key=_precedence, default=None)
        if newest is None or not newest.rates:
            return None
        return Price(
            source=f"override {newest.pk}",
            provider=self.provider,
            model=model,
            currency="USD",
            rates=rates.read(newest.rates),
            service_tier=tier,
        )


def overrides_of(provider: str) -> list[PriceOverride]:
    """Read the admin's prices of a provider."""
    return list(PriceOverride.objects.filter(provider=provider))


def _precedence(row: PriceOverride) -> tuple[bool, int, datetime, int]:
    literal = len(row.model_pattern.replace("*", "").replace("?", ""))
    return (literal == len(row.model_pattern), literal, row.valid_from, row.pk)
