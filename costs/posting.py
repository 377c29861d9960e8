"""The entries of a call: charged once, and corrected by a reversal and new entries.

The only place that inserts ledger entries. The call's row must be locked by the caller.
"""

from collections.abc import Iterable

from django.db import IntegrityError, transaction

from costs import budgets, lines
from costs.lines import Line
from costs.models import STANDS, LedgerEntry, ModelCall, PriceSnapshot
from costs.pricing import STATED, Price

Kind = LedgerEntry.Kind


class ConflictingCharge(Exception):
    """An entry with this key exists and says something else: two writers charged one call."""


def charge(call: ModelCall) -> None:
    """Post what a call that has just ended used."""
    for line in lines_of(call):
        _insert(call, line, phase="final", kind=Kind.CHARGE)


def correct(call: ModelCall) -> bool:
    """Reverse what a call is charged and post what it should be; False when that is the same."""
    standing = list(LedgerEntry.objects.filter(STANDS, call_id=call.pk).order_by("pk"))
    wanted = lines_of(call)
    if _said_by(standing) == {_says(call, line) for line in wanted}:
        return False
    number = _corrections(call) + 1
    for entry in standing:
        _reverse(entry, phase=f"rev{number}")
    for line in wanted:
        _insert(call, line, phase=f"adj{number}", kind=Kind.ADJUSTMENT)
    budgets.correct(call, by_pico=_known_pico(wanted) - _known_pico(standing))
    return True


def lines_of(call: ModelCall) -> list[Line]:
    """What a call's usage costs at the price that is kept with it."""
    price = Price.from_snapshot(call.price) if call.price else None
    stated_pico = call.stated_pico if price and price.source == STATED else None
    return lines.of(call.usage_by_class, price, stated_pico=stated_pico)


def snapshot(price: Price) -> PriceSnapshot:
    """Keep a price; the same price is kept once."""
    with transaction.atomic():
        found, _ = PriceSnapshot.objects.get_or_create(
            digest=price.digest,
            defaults={
                "source": price.source,
                "provider": price.provider,
                "model": price.model,
                "service_tier": price.service_tier,
                "currency": price.currency,
                "rates": price.as_json()["rates"],
            },
        )
    return found


def _says(call: ModelCall, line: Line) -> tuple[object, ...]:
    # Not where the rate is from: the next version of the list has most rates unchanged.
    return (*_content(line), call.usage_source != ModelCall.UsageSource.PROVIDER)


def _said_by(entries: Iterable[LedgerEntry]) -> set[tuple[object, ...]]:
    return {(*_content(entry), entry.is_estimate) for entry in entries}


def _known_pico(charged: Iterable[Line | LedgerEntry]) -> int:
    return sum(line.amount_pico or 0 for line in charged)


def _content(line: Line | LedgerEntry) -> tuple[object, ...]:
    return (line.token_class, line.quantity, line.rate_pico_per_m, line.amount_pico)


def _corrections(call: ModelCall) -> int:
    keys = LedgerEntry.objects.filter(call_id=call.pk).values_list("idempotency_key", flat=True)
    phases = {key.split(":")[2] for key in keys}
    return max((int(phase[3:]) for phase in phases if phase[:3] in ("rev", "adj")), default=0)


def _insert(call: ModelCall, line: Line, *, phase: str, kind: Kind) -> None:
    is_priced = line.amount_pico is not None
    entry = LedgerEntry(
        call_id=call.pk,
        run_id=call.run_id,
        session_key=call.session_key,
        owner_key=call.owner_key,
        kind=kind if is_priced else Kind.UNPRICED,
        token_class=line.token_class,
        quantity=line.quantity,
        rate_pico_per_m=line.rate_pico_per_m,
        amount_pico=line.amount_pico,
        currency=call.price.currency if call.price else "USD",
        is_estimate=call.usage_source != ModelCall.UsageSource.PROVIDER,
        price=call.price if is_priced else None,
        call_started_at=call.started_at,
    )
    _post(entry, phase=phase)


def _reverse(entry: LedgerEntry, *, phase: str) -> None:
    reversal = LedgerEntry(
        call_id=entry.call_id,
        run_id=entry.run_id,
        session_key=entry.session_key,
        owner_key=entry.owner_key,
        kind=Kind.REVERSAL,
        token_class=entry.token_class,
        quantity=-entry.quantity,
        rate_pico_per_m=entry.rate_pico_per_m,
        amount_pico=None if entry.amount_pico is None else -entry.amount_pico,
        currency=entry.currency,
        is_estimate=entry.is_estimate,
        price_id=entry.price_id,
        reverses=entry,
        call_started_at=entry.call_started_at,
    )
    _post(reversal, phase=phase)


def _post(entry: LedgerEntry, *, phase: str) -> None:
    """Insert an entry once, whoever else does. Raises ConflictingCharge for another content."""
    key = entry.idempotency_key = f"call:{entry.call_id}:{phase}:{entry.token_class}"
    try:
        with transaction.atomic():
            entry.save()
    except IntegrityError:
        kept = LedgerEntry.objects.filter(idempotency_key=key).first()
        if kept is None:
            raise
        if _content(kept) != _content(entry):
            raise ConflictingCharge(f"{key} is charged already with another amount") from None
