"""Money as whole pico-dollars (1e-12 USD): the only place that rounds and prints it."""

from decimal import Decimal

PICO = 10**12
TOKENS_PER_RATE = 10**6


def amount_pico(*, quantity: int, rate_pico_per_m: int) -> int:
    """Charge `quantity` tokens at a rate in pico-dollars per million, half rounded to even."""
    whole, rest = divmod(quantity * rate_pico_per_m, TOKENS_PER_RATE)
    if rest * 2 > TOKENS_PER_RATE or (rest * 2 == TOKENS_PER_RATE and whole % 2):
        whole += 1
    return whole


def rate_pico(usd_per_million: Decimal) -> int:
    """Turn a list price in USD per million tokens into pico-dollars per million.

    Raises ValueError for a price below zero or finer than a pico-dollar can say.
    """
    if not usd_per_million.is_finite() or usd_per_million < 0:
        raise ValueError(f"{usd_per_million!r} is no price")
    return int((usd_per_million * PICO).to_integral_value())


def plain(pico: int) -> str:
    """Print pico-dollars as dollars in plain notation: 669_500_000 is "0.0006695"."""
    sign = "-" if pico < 0 else ""
    dollars, rest = divmod(abs(pico), PICO)
    fraction = f"{rest:012d}".rstrip("0")
    return f"{sign}{dollars}.{fraction}" if fraction else f"{sign}{dollars}"


def plain_or_none(pico: int | None) -> str | None:
    """Print an amount that may be unknown; unknown stays None and never becomes zero."""
    return None if pico is None else plain(pico)
