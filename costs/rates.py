"""Rates as people write them: USD as decimal text, by class and, if need be, by prompt size."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError

from costs import money
from costs.usage import CLASSES, FEE_CLASSES

DECIMAL_PLACES = 12

#: `(more than this many prompt tokens, pico-dollars per million)` in rising order.
Steps = tuple[tuple[int, int], ...]


def pico(token_class: str, usd: Decimal) -> int:
    """Turn USD per million tokens, or per thousand of a fee, into pico-dollars per million.

    Raises ValueError for what is no price.
    """
    return money.pico(usd * 1000 if token_class in FEE_CLASSES else usd)


def read(written: Mapping[str, Any]) -> dict[str, Steps]:
    """Read rates by class. Raises ValueError that names what is wrong with them."""
    if unknown := set(written) - set(CLASSES):
        raise ValueError(f"Unknown classes: {sorted(unknown)}. Known are: {', '.join(CLASSES)}.")
    if written and not {"input", "output"} <= set(written):
        raise ValueError("A price needs at least input and output.")
    rates = {name: _steps(name, value) for name, value in written.items()}
    if "output" in rates:
        # No provider has another price for thinking.
        rates.setdefault("reasoning", rates["output"])
    return rates


def validate_rates(written: Any) -> None:
    """Refuse a form's rates. Raises ValidationError."""
    if not isinstance(written, dict):
        raise ValidationError("Rates are an object: a text for each class.")
    try:
        read(written)
    except ValueError as error:
        raise ValidationError(str(error)) from error


def _steps(name: str, value: Any) -> Steps:
    by_size = value if isinstance(value, dict) else {"0": value}
    if "0" not in by_size or not all(size.isdecimal() for size in by_size):
        raise ValueError(f"{name}: prompt sizes are whole numbers, and 0 is the first.")
    steps = sorted((int(size), pico(name, _usd(name, text))) for size, text in by_size.items())
    return ((-1, steps[0][1]), *steps[1:])


def _usd(name: str, text: Any) -> Decimal:
    try:
        # A JSON number has been a float already.
        usd = Decimal(text) if isinstance(text, str) else Decimal("NaN")
    except InvalidOperation:
        usd = Decimal("NaN")
    if not usd.is_finite() or not 0 <= usd <= money.LARGEST_USD:
        raise ValueError(f'{name}: {text!r} is no price; write it as text, like "0.15".')
    if usd != round(usd, DECIMAL_PLACES):
        raise ValueError(f"{name}: {text} has more than {DECIMAL_PLACES} decimal places.")
    return usd
