"""Proves every entry of the ledger from its call: its usage, and the price kept with it."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from costs import money
from costs.models import LedgerEntry, ModelCall
from costs.pricing import Price
from costs.usage import Usage

PAGE = 500


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that should never be; `invariant` is its id in docs/architecture.md."""

    invariant: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.subject}: {self.detail}"


def violations() -> Iterator[Violation]:
    """Check every call and every entry of the ledger."""
    after = uuid.UUID(int=0)
    while page := list(
        ModelCall.objects.select_related("price").filter(pk__gt=after).order_by("pk")[:PAGE]
    ):
        yield from of_calls(page)
        after = page[-1].pk
    known = ModelCall.objects.values("pk")
    for entry in LedgerEntry.objects.exclude(call_id__in=known).iterator():
        yield Violation("M2", f"entry {entry.pk}", f"there is no call {entry.call_id}")


def of_calls(calls: Sequence[ModelCall]) -> Iterator[Violation]:
    """Check some calls with their entries."""
    entries: dict[uuid.UUID, list[LedgerEntry]] = {call.pk: [] for call in calls}
    for entry in LedgerEntry.objects.filter(call_id__in=entries):
        entries[entry.call_id].append(entry)
    for call in calls:
        for invariant, detail in _wrong_in(call, entries[call.pk]):
            yield Violation(invariant, f"call {call.pk} of run {call.run_id}", detail)


def _wrong_in(call: ModelCall, entries: Sequence[LedgerEntry]) -> Iterator[tuple[str, str]]:
    usage = Usage(**call.usage_by_class)
    counted = (usage.prompt_tokens, usage.completion_tokens)
    if counted != (call.prompt_tokens, call.completion_tokens):
        yield "M3", f"its classes sum up to {counted}, not to its prompt and completion tokens"
    charged = {entry.token_class: entry.quantity for entry in entries}
    if call.status == ModelCall.Status.OPEN:
        if entries:
            yield "M2", "it is open and charged already"
    elif charged != usage.by_class():
        yield "M3", f"it used {usage.by_class()} and was charged {charged}"
    price = Price.from_snapshot(call.price) if call.price else None
    for entry in entries:
        yield from _wrong_in_entry(call, entry, price)


def _wrong_in_entry(
    call: ModelCall, entry: LedgerEntry, price: Price | None
) -> Iterator[tuple[str, str]]:
    name = f"entry {entry.idempotency_key}"
    if entry.quantity < 0 or (entry.amount_pico or 0) < 0:
        yield "M1", f"{name} is below zero"
    is_estimate = call.usage_source != ModelCall.UsageSource.PROVIDER
    if entry.is_estimate != is_estimate:
        yield "M4", f"{name} says estimate={entry.is_estimate}, its call {call.usage_source}"
    rate = None
    if price:
        rate = price.rate_pico(entry.token_class, prompt_tokens=call.prompt_tokens)
    if entry.rate_pico_per_m != rate:
        yield "M6", f"{name} has the rate {entry.rate_pico_per_m}, the price kept says {rate}"
    amount = (
        None if rate is None else money.amount_pico(quantity=entry.quantity, rate_pico_per_m=rate)
    )
    if entry.amount_pico != amount:
        yield "M6", f"{name} charges {entry.amount_pico}, quantity times rate is {amount}"
