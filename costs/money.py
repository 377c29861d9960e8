"""Money as whole pico-dollars (1e-12 USD): the only place that rounds and prints it."""

from decimal import ROUND_HALF_EVEN, Decimal

PICO = 10**12
TOKENS_PER_RATE = 10**6
#: What a 64-bit integer holds, and a million times what a million tokens cost anywhere.
LARGEST_USD = 9_000_000


def amount_pico(*, quantity: int, rate_pico_per_m: int) -> int:
    """Charge `quantity` tokens at a rate in pico-dollars per million, half rounded to even."""
    return divided(quantity * rate_pico_per_m, TOKENS_PER_RATE)


def divided(amount: int, by: int) -> int:
    """Divide whole numbers, half rounded to even."""
    whole, rest = divmod(amount, by)
    if rest * 2 > by or (rest * 2 == by and whole % 2):
        whole += 1
    return whole


def pico(usd: Decimal) -> int:
    """Turn dollars into whole pico-dollars, half rounded to even.

    Raises ValueError for what is no amount: below zero, not finite, or beyond the database's range.
    """
    if not usd.is_finite() or not 0 <= usd <= LARGEST_USD:
        raise ValueError(f"{usd} is no amount of USD")
    return int((usd * PICO).to_integral_value(ROUND_HALF_EVEN))


def plain(pico: int) -> str:
    """Print pico-dollars as dollars in plain notation: 669_500_000 is "0.0006695"."""
    sign = "-" if pico < 0 else ""
    dollars, rest = divmod(abs(pico), PICO)
    fraction = f"{rest:012d}".rstrip("0")
    return f"{sign}{dollars}.{fraction}" if fraction else f"{sign}{dollars}"


def plain_or_none(pico: int | None) -> str | None:
    """Print an amount that may be unknown; unknown stays None and never becomes zero."""
    return None if pico is None else plain(pico)
