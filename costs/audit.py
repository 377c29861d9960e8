"""Proves every entry of the ledger from its call: its usage, and the price kept with it."""

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from django.db import connection
from django.db.models import Exists, OuterRef

from costs import budget_windows, guards, ledger, lines, posting, rollups
from costs.lines import Line
from costs.models import LedgerEntry, ModelCall, PriceSnapshot
from costs.pricing import STATED, Price
from costs.usage import Usage

#: So many runs are looked at at once; the memory does not grow with the ledger.
PAGE = 500
#: In a database that is in use, a check may see the halves of a change: it is repeated.
CHECK_AGAIN_AFTER_S = 1.0
#: What an entry keeps of its call, for sums without the call: its column, and the call's.
COPIES = {
    "run_id": "run_id",
    "session_key": "session_key",
    "owner_key": "owner_key",
    "call_started_at": "started_at",
}
Kind = LedgerEntry.Kind
Found = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that should never be; `invariant` is its id in docs/architecture.md."""

    invariant: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.subject}: {self.detail}"


def violations() -> Iterator[Violation]:
    """Check every call, every entry, every run's total, and that the database guards them."""
    for name in guards.missing(connection):
        yield Violation("M9", f"trigger {name}", "it is not there: entries can be changed")
    after = uuid.UUID(int=0)
    while page := _run_ids(after):
        yield from confirmed(partial(_wrong_in_runs, page))
        after = page[-1]
    calls = ModelCall.objects.filter(pk=OuterRef("call_id"))
    for entry in LedgerEntry.objects.filter(~Exists(calls)).iterator(chunk_size=PAGE):
        yield Violation("M2", f"entry {entry.pk}", f"there is no call {entry.call_id}")
    yield from confirmed(_wrong_in_budgets)
    for day in rollups.disagreeing_days():
        yield Violation("M8", f"day {day}", "its sums for reports are not those of its entries")


def of_calls(calls: Sequence[ModelCall]) -> Iterator[Violation]:
    """Check some calls with their entries."""
    entries: dict[uuid.UUID, list[LedgerEntry]] = {call.pk: [] for call in calls}
    for entry in LedgerEntry.objects.filter(call_id__in=entries).order_by("pk"):
        entries[entry.call_id].append(entry)
    prices = _prices_of(entry for of_call in entries.values() for entry in of_call)
    for call in calls:
        for invariant, detail in _wrong_in(call, entries[call.pk], prices):
            yield Violation(invariant, f"call {call.pk} of run {call.run_id}", detail)


def confirmed(look: Callable[[], Iterable[Violation]]) -> list[Violation]:
    """What is found by two looks; what only the first one finds was being changed."""
    found = list(look())
    if not found:
        return []
    time.sleep(CHECK_AGAIN_AFTER_S)
    again = set(look())
    return [violation for violation in found if violation in again]


def _wrong_in_budgets() -> Iterator[Violation]:
    for window, detail in budget_windows.wrong_windows():
        yield Violation("M10", f"budget {window.budget}, {window}", detail)


def _run_ids(after: uuid.UUID) -> list[uuid.UUID]:
    runs = ModelCall.objects.filter(run_id__gt=after).order_by("run_id")
    return list(runs.values_list("run_id", flat=True).distinct()[:PAGE])


def _wrong_in_runs(run_ids: Sequence[uuid.UUID]) -> Iterator[Violation]:
    calls = list(ModelCall.objects.select_related("price").filter(run_id__in=run_ids))
    yield from of_calls(calls)
    told = ledger.totals_by_run(run_ids)
    by_run: dict[uuid.UUID, list[ModelCall]] = defaultdict(list)
    for call in calls:
        by_run[call.run_id].append(call)
    for run_id, of_run in by_run.items():
        closed = [call for call in of_run if call.status != ModelCall.Status.OPEN]
        charged = [line for call in closed for line in posting.lines_of(call)]
        tokens = sum(call.prompt_tokens + call.completion_tokens for call in of_run)
        proven = (lines.known_pico(charged), tokens)
        total = told[run_id]
        said = (total.amount_pico, total.prompt_tokens + total.completion_tokens)
        if said != proven:
            yield Violation("M8", f"run {run_id}", f"its total is {said}, its calls say {proven}")


def _prices_of(entries: Iterable[LedgerEntry]) -> dict[int | None, Price | None]:
    wanted = {entry.price_id for entry in entries}
    kept = PriceSnapshot.objects.in_bulk([pk for pk in wanted if pk is not None])
    return {None: None} | {pk: Price.from_snapshot(row) for pk, row in kept.items()}


def _wrong_in(
    call: ModelCall, entries: Sequence[LedgerEntry], prices: dict[int | None, Price | None]
) -> Found:
    usage = Usage(**call.usage_by_class)
    counted = (usage.prompt_tokens, usage.completion_tokens)
    if counted != (call.prompt_tokens, call.completion_tokens):
        yield "M3", f"its classes sum up to {counted}, not to its prompt and completion tokens"
    if call.status == ModelCall.Status.OPEN:
        if entries:
            yield "M2", "it is open and charged already"
        return
    yield from _wrong_in_copies(call, entries)
    reversed_ids = {entry.reverses_id for entry in entries}
    standing = [e for e in entries if e.kind != Kind.REVERSAL and e.pk not in reversed_ids]
    yield from _wrong_in_standing(call, standing)
    yield from _wrong_in_reversals(entries)
    for posted in _postings(entries):
        stands = [entry for entry in posted if entry in standing]
        if stands and len(stands) != len(posted):
            yield "M7", f"{_name(stands[0])} stands, and what was posted with it is reversed"
        due = posting.lines_of(call) if stands else _due(posted, prices)
        yield from _wrong_in_posting(posted, due)


def _wrong_in_copies(call: ModelCall, entries: Sequence[LedgerEntry]) -> Found:
    for entry in entries:
        for copy, column in COPIES.items():
            if getattr(entry, copy) != getattr(call, column):
                yield "M2", f"{_name(entry)} has another {column} than its call"


def _wrong_in_standing(call: ModelCall, standing: Sequence[LedgerEntry]) -> Found:
    """What counts is what the call used, at the price kept with it."""
    charged = {entry.token_class: entry.quantity for entry in standing if entry.quantity}
    is_doubled = len({entry.token_class for entry in standing}) != len(standing)
    if charged != call.usage_by_class or is_doubled:
        lines_told = [(entry.token_class, entry.quantity) for entry in standing]
        yield "M3", f"it used {call.usage_by_class} and was charged {lines_told}"
    is_estimate = call.usage_source != ModelCall.UsageSource.PROVIDER
    for entry in standing:
        if entry.is_estimate != is_estimate:
            yield "M4", f"{_name(entry)} says estimate={entry.is_estimate}, not {is_estimate}"
        if entry.price_id != (None if entry.amount_pico is None else call.price_id):
            yield "M6", f"{_name(entry)} refers to another price than its call"


def _due(posted: Sequence[LedgerEntry], prices: dict[int | None, Price | None]) -> list[Line]:
    """What was reversed later: its quantities at its own price."""
    price = next((prices[entry.price_id] for entry in posted if entry.price_id), None)
    stated = None
    if price and price.source == STATED:
        stated = sum(entry.amount_pico or 0 for entry in posted)
    return lines.of({e.token_class: e.quantity for e in posted}, price, stated_pico=stated)


def _wrong_in_posting(posted: Sequence[LedgerEntry], due: Sequence[Line]) -> Found:
    """What was posted at once is its quantities times the rates of its price."""
    by_class = {line.token_class: line for line in due}
    for entry in posted:
        if entry.quantity < 0 or (entry.amount_pico or 0) < 0:
            yield "M1", f"{_name(entry)} is below zero"
        line = by_class.get(entry.token_class)
        if line is None:
            continue  # M3 has named it
        if entry.rate_pico_per_m != line.rate_pico_per_m:
            rates = f"{entry.rate_pico_per_m}, the price kept says {line.rate_pico_per_m}"
            yield "M6", f"{_name(entry)} has the rate {rates}"
        if entry.amount_pico != line.amount_pico:
            amounts = f"{entry.amount_pico}, quantity times rate is {line.amount_pico}"
            yield "M6", f"{_name(entry)} charges {amounts}"


def _wrong_in_reversals(entries: Sequence[LedgerEntry]) -> Found:
    by_id = {entry.pk: entry for entry in entries}
    for reversal in (entry for entry in entries if entry.kind == Kind.REVERSAL):
        target = by_id.get(reversal.reverses_id or 0)
        if target is None or target.kind == Kind.REVERSAL:
            yield "M7", f"{_name(reversal)} reverses no charge of this call"
            continue
        amount = None if target.amount_pico is None else -target.amount_pico
        if (reversal.quantity, reversal.amount_pico) != (-target.quantity, amount):
            yield "M7", f"{_name(reversal)} does not undo {_name(target)} exactly"


def _postings(entries: Sequence[LedgerEntry]) -> list[list[LedgerEntry]]:
    found: dict[str, list[LedgerEntry]] = defaultdict(list)
    for entry in entries:
        if entry.kind != Kind.REVERSAL:
            found[entry.idempotency_key.rpartition(":")[0]].append(entry)
    return list(found.values())


def _name(entry: LedgerEntry) -> str:
    return f"entry {entry.idempotency_key}"
