"""Reports: what was spent from one day to another, summed by what is asked for.

Every number is the ledger's at this moment: days that are over come from the daily sums, what is
not summed yet from the ledger itself, both in one statement.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from costs import exchange, facts, money, rollups
from costs.daily import MEASURES, TABLES, DailySum, joined_pico
from costs.exchange import ExchangeRate
from costs.facts import Part
from costs.report_query import InvalidReport, Query

_WASTED = ", ".join(f"'{outcome}'" for outcome in facts.WASTED)
_SUMS = {
    **{name: f"SUM({name})" for name in MEASURES},
    "wasted_micro": f"SUM(CASE WHEN outcome IN ({_WASTED}) THEN amount_micro END)",
    "wasted_rest": f"SUM(CASE WHEN outcome IN ({_WASTED}) THEN amount_rest END)",
}


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


def read(asked: Query, *, total: Line | None = None) -> Report:
    """Make a report: the most expensive groups first, days in their order. Raises InvalidReport.

    `total` is that of another report of the same days, where it is known.
    """
    rate = _rate(asked)
    with connection.cursor() as cursor:
        cursor.execute(*_statement(asked))
        rows = cursor.fetchall()
    width = len(asked.dimensions)
    *totals, groups = rows[0][width + len(_SUMS) :] if rows else (0,)
    if "token_class" in asked.groups:
        # The sum of the groups has a call once for each of its classes.
        total = total or read(replace(asked, groups=("day",))).total
    else:
        total = _line(asked, (), totals, rate) if rows else _NOTHING
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
    amount_pico=0,
    estimated_pico=0,
    wasted_pico=0,
)
