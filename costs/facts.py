"""Statements that sum calls and their entries by any set of columns, straight from the ledger.

The same statements build the daily sums and read what is not built yet, so that both agree.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import (
    Case,
    Count,
    DateField,
    Exists,
    Expression,
    F,
    Func,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)
from django.db.models.functions import TruncDate

from costs.daily import MEASURES, PICO_PER_MICRO
from costs.models import STANDS, UNPRICED, LedgerEntry, ModelCall
from costs.usage import COMPLETION_CLASSES, PROMPT_CLASSES

FEW_DAYS = 8
SUPERSEDED = "superseded"
#: How calls end whose answer was of no use, or not of all use.
WASTED = (
    ModelCall.Status.TRUNCATED,
    ModelCall.Status.CANCELLED,
    ModelCall.Status.FAILED,
    ModelCall.Status.ABANDONED,
    SUPERSEDED,
)
CACHED_CLASSES = ("cache_read", "cache_read_audio")
#: An amount in two columns, see costs/daily.py.
MICRO, REST = F("amount_pico") / PICO_PER_MICRO, F("amount_pico") % PICO_PER_MICRO

_COUNTS_OF_ENTRIES = {
    "calls": Count("call_id", filter=STANDS, distinct=True),
    "unpriced_calls": Count("call_id", filter=UNPRICED, distinct=True),
}

#: Whole days, the first one and the one after the last.
Span = tuple[date, date]


@dataclass(frozen=True, slots=True)
class Part:
    """A statement whose rows have the dimensions asked for, and some of the measures."""

    sql: str
    parameters: tuple[Any, ...]
    measures: Sequence[str]


def live(
    dimensions: Sequence[str], spans: Iterable[Span], *, owner_key: str | None = None
) -> list[Part]:
    """Sum what the ledger has of these days. There are none for no days."""
    within = list(spans)
    if not within:
        return []
    owned = Q() if owner_key is None else Q(owner_key=owner_key)
    entries = _entries(dimensions, owned, within)
    if "token_class" in dimensions:
        # A call counts for each class that it is charged for.
        return [part(entries.annotate(**_COUNTS_OF_ENTRIES), MEASURES)]
    calls = _calls(dimensions, owned, within)
    return [part(calls, MEASURES[:2]), part(entries, MEASURES[2:])]


def part(rows: QuerySet[Any, Any], measures: Sequence[str]) -> Part:
    sql, parameters = rows.query.sql_with_params()
    return Part(sql, tuple(parameters), measures)


def union(parts: Sequence[Part], dimensions: Sequence[str]) -> tuple[str, tuple[Any, ...]]:
    """Put parts below each other. A measure that a part does not have is NULL in its rows."""
    selects = [f"SELECT {_columns(p, dimensions)} FROM ({p.sql}) AS part" for p in parts]  # noqa: S608  # nosec B608
    parameters = tuple(value for each in parts for value in each.parameters)
    return " UNION ALL ".join(selects), parameters


def one_connection() -> AbstractContextManager[None]:
    """Keep to one connection, where a pooler would give each statement another.

    On SQLite there is none, and a transaction would keep everybody from writing.
    """
    return transaction.atomic() if connection.vendor == "postgresql" else nullcontext()


def start_of(day: date) -> datetime:
    """The moment in UTC in which a day begins."""
    return datetime.combine(day, time(), UTC)


def spans_of(days: Iterable[date]) -> Iterator[Span]:
    """Join neighbouring days."""
    begin: date | None = None
    last = date.min
    for day in sorted(days):
        if begin is not None and day - last > timedelta(days=1):
            yield begin, last + timedelta(days=1)
            begin = None
        begin, last = begin or day, day
    if begin is not None:
        yield begin, last + timedelta(days=1)


def _columns(part: Part, dimensions: Sequence[str]) -> str:
    # A sum of PostgreSQL's is numeric, and would make slow numerics of what stands above it.
    measured = [
        f"CAST({name if name in part.measures else 'NULL'} AS bigint) AS {name}"
        for name in MEASURES
    ]
    return ", ".join([*dimensions, *measured])


def _in(field: str, spans: Iterable[Span]) -> Q:
    found = Q()
    for begin, end in spans:
        found |= Q(**{f"{field}__gte": start_of(begin), f"{field}__lt": start_of(end)})
    return found


def _day(field: str, spans: Sequence[Span]) -> Expression:
    """The day of a row; of few days it is looked up, as SQLite is slow to work it out."""
    days = [begin + timedelta(days=n) for begin, end in spans for n in range((end - begin).days)]
    if len(days) > FEW_DAYS:
        return TruncDate(field, tzinfo=UTC)
    newest_first = sorted(days, reverse=True)
    since = [When(**{f"{field}__gte": start_of(day)}, then=Value(day)) for day in newest_first]
    return Case(*since, output_field=DateField())


def _calls(dimensions: Sequence[str], owned: Q, spans: Sequence[Span]) -> QuerySet[Any, Any]:
    unpriced = LedgerEntry.objects.filter(UNPRICED, call_id=OuterRef("pk"))
    columns = {
        "day": _day("started_at", spans),
        "model": F("requested_model"),
        "outcome": _outcome(""),
    }
    where = owned & _in("started_at", spans)
    found = ModelCall.objects.filter(where).annotate(is_unpriced=Exists(unpriced))
    summed: QuerySet[Any, Any] = _grouped(found, columns, dimensions).annotate(
        calls=Count("pk"), unpriced_calls=Count("pk", filter=Q(is_unpriced=True))
    )
    return summed


def _entries(dimensions: Sequence[str], owned: Q, spans: Sequence[Span]) -> QuerySet[Any, Any]:
    columns = {
        "day": _day("call_started_at", spans),
        "provider": F("call__provider"),
        "model": F("call__requested_model"),
        "tool": F("call__tool"),
        "outcome": _outcome("call__"),
    }
    of_prompt, of_completion = (
        Q(token_class__in=PROMPT_CLASSES),
        Q(token_class__in=COMPLETION_CLASSES),
    )
    estimates = Q(is_estimate=True)
    # Said of the calls too, the database need not look up each entry's call by its id.
    where = owned & _in("call_started_at", spans) & _in("call__started_at", spans)
    found = _grouped(LedgerEntry.objects.filter(where), columns, dimensions)
    summed: QuerySet[Any, Any] = found.annotate(
        prompt_tokens=Sum("quantity", filter=of_prompt),
        cached_tokens=Sum("quantity", filter=Q(token_class__in=CACHED_CLASSES)),
        completion_tokens=Sum("quantity", filter=of_completion),
        amount_micro=Sum(MICRO),
        amount_rest=Sum(REST),
        estimated_micro=Sum(MICRO, filter=estimates),
        estimated_rest=Sum(REST, filter=estimates),
    )
    return summed


def _grouped(
    found: QuerySet[Any], columns: Mapping[str, Any], dimensions: Sequence[str]
) -> QuerySet[Any, Any]:
    made = {name: columns[name] for name in dimensions if name in columns}
    grouped: QuerySet[Any, Any] = found.order_by().annotate(**made).values(*dimensions)
    return grouped


def _outcome(call: str) -> Case:
    # As a literal: with a parameter SQLite would not take the index of later attempts.
    one = Func(template="1", output_field=IntegerField())
    later = ModelCall.objects.filter(run_id=OuterRef("run_id"), attempt__gt=one)
    later = later.filter(attempt__gt=OuterRef(f"{call}attempt"))
    is_superseded = Q(**{f"{call}status": ModelCall.Status.COMPLETE}) & Exists(later)
    return Case(When(is_superseded, then=Value(SUPERSEDED)), default=F(f"{call}status"))
