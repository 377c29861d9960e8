"""What a call costs, line by line: one function for charging, showing and proving it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from costs import money, pricing
from costs.pricing import Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A quantity of one class at one rate; the amount is None when the class has no price."""

    token_class: str
    quantity: int
    rate_pico_per_m: int | None
    amount_pico: int | None


def of(
    by_class: Mapping[str, int], price: Price | None, *, stated_pico: int | None = None
) -> list[Line]:
    """Price a call. An amount that the provider states is divided among the lines."""
    if stated_pico is not None:
        return _divided([_line(*used, by_class, price) for used in by_class.items()], stated_pico)
    return [_line(*used, by_class, price) for used in by_class.items()]


def known_pico(lines: Sequence[Line]) -> int | None:
    """Sum what has a price; None when nothing has."""
    known = [line.amount_pico for line in lines if line.amount_pico is not None]
    return sum(known) if known else None


def total_pico(lines: Sequence[Line]) -> int | None:
    """Sum all lines; None when one of them has no price, 0 for none."""
    is_priced = all(line.amount_pico is not None for line in lines)
    return known_pico(lines) or 0 if is_priced else None


def _line(
    token_class: str, quantity: int, by_class: Mapping[str, int], price: Price | None
) -> Line:
    rate = amount = None
    if price:
        rate = price.rate_pico(token_class, prompt_tokens=pricing.prompt_tokens(by_class))
    if rate is not None:
        amount = money.amount_pico(quantity=quantity, rate_pico_per_m=rate)
    return Line(
        token_class=token_class, quantity=quantity, rate_pico_per_m=rate, amount_pico=amount
    )


def _divided(lines: list[Line], stated_pico: int) -> list[Line]:
    """Divide by list price, else by quantity; the largest line takes what is left over."""
    if not lines:
        lines = [_line("output", 0, {}, None)]
    listed = [line.amount_pico or 0 for line in lines]
    is_listed = total_pico(lines) is not None
    weights = listed if is_listed and any(listed) else [line.quantity for line in lines]
    whole = sum(weights) or 1
    shares = [stated_pico * weight // whole for weight in weights]
    shares[weights.index(max(weights))] += stated_pico - sum(shares)
    return [replace(line, amount_pico=share) for line, share in zip(lines, shares, strict=True)]
