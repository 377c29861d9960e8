"""Rates of exchange: the ledger is in USD, and reports can be told in other currencies."""

import re
from datetime import date
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now

from costs import money
from costs.written_once import WrittenOnceModel

USD = "USD"
#: Digits behind the point of a rate.
PLACES = 9
_CODE = re.compile(r"[A-Z]{3}", re.ASCII)


class UnknownRate(Exception):
    """There is no rate for the currency; the message says which there are."""


def refuse_usd(currency: str) -> None:
    if currency == USD:
        raise ValidationError("The ledger is in USD: it needs no rate.")


class ExchangeRate(WrittenOnceModel):
    """What a USD is worth from a day on. A later row for the same day supersedes an earlier one."""

    day = models.DateField(help_text="UTC. Holds until the next day that has a rate.")
    currency = models.CharField(
        max_length=3,
        validators=[
            RegexValidator(r"^[A-Z]{3}\Z", "Three capital letters, like EUR."),
            refuse_usd,
        ],
        help_text="Its code of ISO 4217, like EUR.",
    )
    per_usd = models.DecimalField(
        "units per USD",
        max_digits=15,
        decimal_places=PLACES,
        validators=[MinValueValidator(Decimal(1).scaleb(-PLACES))],
        help_text="What one USD is worth: 0.92 for EUR when a USD costs 92 cents.",
    )
    created_by = models.CharField(max_length=150, blank=True, default="", editable=False)
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        base_manager_name = "objects"
        indexes = [models.Index(fields=["currency", "-day", "-id"], name="exchange_rate_newest")]

    def __str__(self) -> str:
        return f"{self.plain} {self.currency} per USD from {self.day}"

    @property
    def plain(self) -> str:
        """The units per USD as a plain decimal."""
        return f"{self.per_usd.normalize():f}"

    def convert(self, pico: int) -> int:
        """Turn pico-dollars into 1e-12 of the currency, half rounded to even."""
        return money.divided(pico * int(self.per_usd.scaleb(PLACES)), 10**PLACES)


def find(currency: str, *, on: date) -> ExchangeRate | None:
    """The rate that holds on a day; None is USD. Raises UnknownRate."""
    if currency == USD:
        return None
    rates = ExchangeRate.objects.order_by("-day", "-id")
    found: ExchangeRate | None = None
    if _CODE.fullmatch(currency):
        found = rates.filter(currency=currency, day__lte=on).first()
    if found is None:
        known = ", ".join(currencies(on=on))
        raise UnknownRate(f"currency: {currency[:10]!r} has no rate for {on}; there is {known}.")
    return found


def currencies(*, on: date) -> list[str]:
    """What a report that ends on a day can be told in."""
    known = ExchangeRate.objects.filter(day__lte=on).order_by("currency")
    return [USD, *known.values_list("currency", flat=True).distinct()]
