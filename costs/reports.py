"""Reports: what was spent from one day to another, summed by what is asked for.

Every number is the ledger's at this moment: days that are over come from the daily sums, what is
not summed yet from the ledger itself, both in one statement.
"""

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from costs import exchange, facts, money, rollups
from costs.daily import MEASURES, TABLES, DailySum, joined_pico
from costs.exchange import USD, ExchangeRate
from costs.facts import Part

#: What can be asked for, and the column that answers it.
GROUPS = {
    "day": "day",
    "model": "model",
    "provider": "provider",
    "user": "owner_key",
    "session": "session_key",
    "run": "run_id",
    "tool": "tool",
    "status": "outcome",
    "token_class": "token_class",
}
MAX_DAYS = 366
MAX_LINES = 1000
DEFAULT_LINES = 400
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_WASTED = ", ".join(f"'{outcome}'" for outcome in facts.WASTED)
_SUMS = {
    **{name: f"SUM({name})" for name in MEASURES},
    "wasted_micro": f"SUM(CASE WHEN outcome IN ({_WASTED}) THEN amount_micro END)",
    "wasted_rest": f"SUM(CASE WHEN outcome IN ({_WASTED}) THEN amount_rest END)",
}


class InvalidReport(ValueError):
    """What was asked for is no report; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which report: whole UTC days, the first and the last, and by what it is summed."""

    first: date
    last: date
    groups: tuple[str, ...] = ("day",)
    #: None is everybody.
    owner_key: str | None = None
    #: What amounts are told in, at the rate of the last day.
    currency: str = USD
    #: So many lines at most, the most expensive ones; None is all.
    limit: int | None = DEFAULT_LINES

    @property
    def dimensions(self) -> tuple[str, ...]:
        return tuple(GROUPS[name] for name in self.groups)

    @property
    def end(self) -> date:
        """The day after the last one."""
        return self.last + timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The sums of one group; an amount is None when nothing of it has a price.

    Amounts are in 1e-12 of the report's currency.
    """

    #: What the group is called, by what was asked for.
    keys: Mapping[str, str]
    calls: int
    #: Calls of which something has no price: they are missing in the amounts.
    unpriced_calls: int
    prompt_tokens: int
    #: Of the prompt tokens, those that the provider had kept.
    cached_tokens: int
    completion_tokens: int
    amount_pico: int | None
    #: Of the amount, what is charged by an estimate.
    estimated_pico: int
    #: Of the amount, what calls cost that were stopped, failed, cut off, left or done again.
    wasted_pico: int

    @property
    def amount(self) -> str | None:
        return money.plain_or_none(self.amount_pico)

    @property
    def wasted(self) -> str:
        return money.plain(self.wasted_pico)

    @property
    def estimated(self) -> str:
        return money.plain(self.estimated_pico)

    @property
    def sums(self) -> dict[str, str | int | None]:
        """What programs are told of the group; amounts are plain decimals in USD."""
        return {
            "cost": self.amount,
            "estimated_cost": self.estimated,
            "wasted_cost": self.wasted,
            "calls": self.calls,
            "unpriced_calls": self.unpriced_calls,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "completion_tokens": self.completion_tokens,
        }

    def share(self, part: int, whole: int | None) -> str:
        return f"{100 * part / whole:.1f} %" if whole else ""

    @property
    def cached_share(self) -> str:
        return self.share(self.cached_tokens, self.prompt_tokens)

    @property
    def wasted_share(self) -> str:
        return self.share(self.wasted_pico, self.amount_pico)

    @property
    def estimated_share(self) -> str:
        return self.share(self.estimated_pico, self.amount_pico)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The lines of a report, and the sums of all groups, shown or not."""

    query: Query
    lines: Sequence[Line]
    total: Line
    groups: int
    #: None is USD.
    rate: ExchangeRate | None


def query(
    *,
    first: str | None = None,
    last: str | None = None,
    group_by: str | None = None,
    owner_key: str | None = None,
    currency: str = USD,
    limit: int | None = DEFAULT_LINES,
) -> Query:
    """Read what was asked for; without days it is this month. Raises InvalidReport."""
    today = timezone.now().date()
    begin = _day("from", first) if first else None
    end = _day("to", last) if last else max(today, begin or today)
    begin = begin or end.replace(day=1)
    if end < begin:
        raise InvalidReport(f"The report would end on {end}, before it begins on {begin}.")
    if (end - begin).days >= MAX_DAYS:
        raise InvalidReport(f"A report covers {MAX_DAYS} days at most.")
    return Query(
        first=begin,
        last=end,
        groups=_groups(group_by or "day"),
        # PostgreSQL knows no NUL.
        owner_key=owner_key.replace("\0", "") if owner_key else None,
        currency=currency,
        limit=limit,
    )


def read(asked: Query) -> Report:
    """Make a report: the most expensive groups first, days in their order. Raises InvalidReport."""
    rate = _rate(asked)
    with connection.cursor() as cursor:
        cursor.execute(*_statement(asked))
        rows = cursor.fetchall()
    width = len(asked.dimensions)
    *totals, groups = rows[0][width + len(_SUMS) :] if rows else (0,)
    total = _line(asked, (), totals, rate) if rows else _NOTHING
    if "token_class" in asked.groups:
        # The sum of the groups has a call once for each of its classes.
        total = read(replace(asked, groups=("status",))).total
    return Report(
        query=asked,
        lines=[_line(asked, row[:width], row[width:], rate) for row in rows],
        total=total,
        groups=groups,
        rate=rate,
    )


def lines(asked: Query, *, chunk: int = 1000) -> Iterator[Line]:
    """Give the lines of a report one by one, in bounded memory. Raises InvalidReport."""
    rate = _rate(asked)
    width = len(asked.dimensions)
    with facts.one_connection(), connection.chunked_cursor() as cursor:
        cursor.execute(*_statement(asked))
        while rows := cursor.fetchmany(chunk):
            for row in rows:
                yield _line(asked, row[:width], row[width:], rate)


def _rate(asked: Query) -> ExchangeRate | None:
    try:
        return exchange.find(asked.currency, on=asked.last)
    except exchange.UnknownRate as error:
        raise InvalidReport(str(error)) from error


def _day(name: str, text: str) -> date:
    try:
        found = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None or not 2000 <= found.year < 3000:
        raise InvalidReport(f"{name}: {text[:40]!r} is no day; write it like 2026-11-30.")
    return found


def _groups(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text[:200].split(",")))
    for name in names:
        if name not in GROUPS:
            known = ", ".join(GROUPS)
            raise InvalidReport(f"group_by: {name[:40]!r} is none of {known}.")
    return names


def _statement(asked: Query) -> tuple[str, tuple[Any, ...]]:
    dimensions = tuple(dict.fromkeys((*asked.dimensions, "outcome")))
    union, parameters = facts.union(_parts(asked, dimensions), dimensions)
    by = ", ".join(asked.dimensions)
    sums = ", ".join(f"{sql} AS {name}" for name, sql in _SUMS.items())
    totals = ", ".join(f"SUM({sql}) OVER ()" for sql in _SUMS.values())
    statement = (
        f"SELECT {by}, {sums}, {totals}, COUNT(*) OVER () FROM ({union}) AS facts"  # noqa: S608  # nosec B608
        f" GROUP BY {by} ORDER BY {_order(asked)}"
    )
    if asked.limit is not None:
        statement += f" LIMIT {asked.limit:d}"
    return statement, parameters


def _parts(asked: Query, dimensions: Sequence[str]) -> list[Part]:
    table = _narrowest(asked)
    if table is None:
        return facts.live(dimensions, [(asked.first, asked.end)], owner_key=asked.owner_key)
    unreliable = rollups.unreliable_days(asked.first, asked.end)
    summed = _summed(table, asked, unreliable)
    live = facts.live(dimensions, facts.spans_of(unreliable), owner_key=asked.owner_key)
    return [facts.part(summed.values(*dimensions, *MEASURES), MEASURES), *live]


def _summed(table: type[DailySum], asked: Query, unreliable: Sequence[date]) -> QuerySet[Any]:
    days: QuerySet[Any] = table._default_manager.filter(day__gte=asked.first, day__lt=asked.end)
    for begin, end in facts.spans_of(unreliable):
        days = days.exclude(day__gte=begin, day__lt=end)
    return days if asked.owner_key is None else days.filter(owner_key=asked.owner_key)


def _narrowest(asked: Query) -> type[DailySum] | None:
    """The smallest table that has what is asked for; None when the ledger alone has it."""
    needed = {*asked.dimensions, *(["owner_key"] if asked.owner_key is not None else [])}
    return next((table for table in TABLES if needed <= set(table.dimensions)), None)


def _order(asked: Query) -> str:
    by_day = ["day"] if "day" in asked.dimensions else []
    by_key = [name for name in asked.dimensions if name != "day"]
    # Not exact, which for an order is no matter.
    by_cost = "SUM(amount_micro) + SUM(amount_rest) / 1000000.0 DESC NULLS LAST"
    return ", ".join([*by_day, by_cost, *by_key])


def _line(
    asked: Query, keys: Sequence[Any], sums: Sequence[Any], rate: ExchangeRate | None
) -> Line:
    found = dict(zip(_SUMS, sums, strict=False))

    def amount(name: str) -> int | None:
        pico = joined_pico(found[f"{name}_micro"], found[f"{name}_rest"])
        return pico if pico is None or rate is None else rate.convert(pico)

    return Line(
        keys={name: _text(name, key) for name, key in zip(asked.groups, keys, strict=False)},
        **{name: int(found[name] or 0) for name in MEASURES[:5]},
        amount_pico=amount("amount"),
        estimated_pico=amount("estimated") or 0,
        wasted_pico=amount("wasted") or 0,
    )


def _text(group: str, key: Any) -> str:
    # SQLite has no type for them.
    return str(uuid.UUID(str(key))) if group == "run" else str(key)


_NOTHING = Line(
    keys={},
    calls=0,
    unpriced_calls=0,
    prompt_tokens=0,
    cached_tokens=0,
    completion_tokens=0,
    amount_pico=None,
    estimated_pico=0,
    wasted_pico=0,
)
