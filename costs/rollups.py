"""Builds the daily sums, for days that are over, and says which of them can be relied on.

A day is summed anew when an entry came later, and read from the ledger until that is done: a
report is never older than the ledger.
"""

import logging
from collections.abc import Iterator
from datetime import date, timedelta

from django.db import connection, transaction
from django.db.models import F, Max, Min, QuerySet, Sum
from django.utils import timezone

from costs import facts
from costs.daily import (
    AMOUNTS,
    MEASURES,
    TABLES,
    DailySum,
    SummedDay,
    SumsProgress,
    joined_pico,
)
from costs.models import LedgerEntry, ModelCall

logger = logging.getLogger(__name__)

#: A day is over when its calls have ended too.
CLOSED_AFTER = timedelta(hours=1)
#: No transaction is so long that it commits an entry which it has inserted so long ago.
SETTLED_AFTER = timedelta(minutes=10)
MAX_ID = 2**63 - 1
ONE_DAY = timedelta(days=1)


def build() -> bool:
    """Sum the newest day that needs it; False when none does.

    A worker's database threads are few, so that it is one day at a time.
    """
    _add_closed_days()
    _mark_touched_days()
    waiting = SummedDay.objects.filter(built_at=None).order_by("-day")
    return any(_build_day(*row) for row in list(waiting.values_list("day", "version")))


def forget() -> None:
    """Let all days be summed anew."""
    SummedDay.objects.update(built_at=None, version=F("version") + 1)


def unreliable_days(begin: date, end: date) -> list[date]:
    """The days from `begin` to before `end` that have to be read from the ledger."""
    # In this order: what is marked meanwhile is found by the one or the other.
    touched = _touched_days(after_id=_through_id())
    built = SummedDay.objects.filter(built_at__isnull=False, day__gte=begin, day__lt=end)
    reliable = set(built.values_list("day", flat=True)) - touched
    return [day for day in _days(begin, end) if day not in reliable]


def disagreeing_days() -> Iterator[date]:
    """The days that are relied on though their sums are not those of the ledger: there are none."""
    touched = _touched_days(after_id=_through_id())
    built = SummedDay.objects.filter(built_at__isnull=False).order_by("day")
    for day in built.values_list("day", flat=True):
        sums = {_total(table._default_manager.filter(day=day)) for table in TABLES}
        if day not in touched and sums != {_ledger_sum(day)}:
            yield day


def _total(rows: QuerySet[DailySum]) -> int:
    found = rows.aggregate(micro=Sum("amount_micro"), rest=Sum("amount_rest"))
    return joined_pico(found["micro"], found["rest"]) or 0


def _add_closed_days() -> None:
    last = SummedDay.objects.aggregate(last=Max("day"))["last"]
    if last is None:
        # From here on: what was recorded before, the first builds find.
        SumsProgress.objects.get_or_create(pk=1, defaults={"through_id": _settled_id(0)})
        first = ModelCall.objects.aggregate(first=Min("started_at"))["first"]
        last = first.date() - ONE_DAY if first else None
    end = (timezone.now() - CLOSED_AFTER).date()
    if last is not None:
        missing = [SummedDay(day=day) for day in _days(last + ONE_DAY, end)]
        SummedDay.objects.bulk_create(missing, ignore_conflicts=True)


def _through_id() -> int:
    return SumsProgress.objects.values_list("through_id", flat=True).first() or 0


def _settled_id(after_id: int) -> int:
    settled = LedgerEntry.objects.filter(
        id__gt=after_id, recorded_at__lt=timezone.now() - SETTLED_AFTER
    )
    # From the end: there are few that are not settled, and maybe millions that are.
    return settled.order_by("-id").values_list("id", flat=True).first() or after_id


def _touched_days(*, after_id: int, through_id: int = MAX_ID) -> set[date]:
    """The days of all calls of the runs that have entries between these.

    A later attempt makes the calls before it worthless, and it may be of another day.
    """
    if not SummedDay.objects.exists():
        return set()
    entries = LedgerEntry.objects.filter(id__gt=after_id, id__lte=through_id)
    runs = entries.values("run_id")
    started = ModelCall.objects.filter(run_id__in=runs).datetimes("started_at", "day")
    return {moment.date() for moment in started}


@transaction.atomic
def _mark_touched_days() -> None:
    progress = SumsProgress.objects.select_for_update().filter(pk=1).first()
    if progress is None:
        return
    # Reports know of them at once. Here each entry counts once, when none before it can come.
    through_id = _settled_id(progress.through_id)
    touched = _touched_days(after_id=progress.through_id, through_id=through_id)
    SummedDay.objects.filter(day__in=touched).update(built_at=None, version=F("version") + 1)
    progress.through_id = through_id
    progress.save(update_fields=["through_id"])


def _build_day(day: date, version: int) -> bool:
    """Sum a day; False when it was touched or built meanwhile, or its sums do not agree."""
    with facts.one_connection():
        return _drafted(day) and _replaced(day, version)


def _drafted(day: date) -> bool:
    for table in TABLES:
        _draft(table, day)
    if {_sum_of(table) for table in TABLES} != {_ledger_sum(day)}:
        logger.warning("The sums of %s do not agree: it is read from the ledger", day)
        return False
    return True


def _replaced(day: date, version: int) -> bool:
    with transaction.atomic():
        unchanged = SummedDay.objects.filter(day=day, version=version)
        if not unchanged.update(built_at=timezone.now(), version=version + 1):
            return False
        for table in TABLES:
            _replace(table, day)
    return True


def _draft(table: type[DailySum], day: date) -> None:
    """Sum a day into a table that only this connection sees, so that no writer waits for it."""
    summed, parameters = facts.union(
        facts.live(table.dimensions, [(day, day + ONE_DAY)]), table.dimensions
    )
    by = ", ".join(table.dimensions)
    columns = ", ".join(f"{_summed(name)} AS {name}" for name in MEASURES)
    rows = f"SELECT {by}, {columns} FROM ({summed}) AS facts GROUP BY {by}"  # noqa: S608  # nosec B608
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {_name(table)}")
        cursor.execute(f"CREATE TEMPORARY TABLE {_name(table)} AS {rows}", parameters)


def _name(table: type[DailySum]) -> str:
    return f"draft_of_{table._meta.db_table}"


def _summed(measure: str) -> str:
    is_amount = measure.startswith(AMOUNTS)
    return f"SUM({measure})" if is_amount else f"COALESCE(SUM({measure}), 0)"


def _sum_of(table: type[DailySum]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT SUM(amount_micro), SUM(amount_rest) FROM {_name(table)}")  # noqa: S608  # nosec B608
        micro, rest = cursor.fetchone()
    return joined_pico(micro, rest) or 0


def _ledger_sum(day: date) -> int:
    entries = LedgerEntry.objects.filter(
        call_started_at__gte=facts.start_of(day), call_started_at__lt=facts.start_of(day + ONE_DAY)
    )
    found = entries.aggregate(micro=Sum(facts.MICRO), rest=Sum(facts.REST))
    return joined_pico(found["micro"], found["rest"]) or 0


def _replace(table: type[DailySum], day: date) -> None:
    columns = ", ".join((*table.dimensions, *MEASURES))
    to, draft = table._meta.db_table, _name(table)
    table._default_manager.filter(day=day).delete()
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {to} ({columns}) SELECT {columns} FROM {draft}")  # noqa: S608  # nosec B608
        cursor.execute(f"DROP TABLE {draft}")


def _days(begin: date, end: date) -> Iterator[date]:
    for number in range((end - begin).days):
        yield begin + timedelta(days=number)
