"""What a cost report is asked for: its days, its groups, whose costs, and in what currency."""

import re
from dataclasses import dataclass
from datetime import date, timedelta

from django.utils import timezone

from costs.exchange import USD

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


def parse(
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
