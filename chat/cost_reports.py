"""Cost reports as callers are given them: as JSON, and as a file of CSV."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

from django.db import connection

from chat import database, principals
from chat.models import ChatSession
from costs import latency, reports, spreadsheets
from costs.report_query import InvalidReport, Query
from costs.reports import Report


def as_json(asked: Query) -> dict[str, Any]:
    """A report of what was spent, with how long the models took; see schemas.CostReport."""
    report = reports.read(asked)
    return {
        "from": asked.first,
        "to": asked.last,
        "group_by": asked.groups,
        "currency": asked.currency,
        "exchange_rate": _rate(report),
        "items": [{**named(line.keys), **line.sums} for line in report.lines],
        "groups": report.groups,
        "total": report.total.sums,
        "latency": [asdict(found) for found in latency.read(asked)],
    }


def owner_key_of(user: str | None) -> str | None:
    """Whose costs are asked for, by his name or owner key; None is all. Raises InvalidReport."""
    if not user:
        return None
    key = principals.owner_key_of(user)
    if key is None:
        raise InvalidReport(f"user: there is no {user[:40]!r}; write a user's name, or user:5.")
    return key


def _rate(report: Report) -> dict[str, Any] | None:
    rate = report.rate
    return {"day": rate.day, "per_usd": rate.plain} if rate else None


def as_csv(asked: Query) -> IO[str]:
    """Write all lines of a report to a file that is gone when it is closed.

    A slow client must not hold a query open. On a thread that does nothing else.
    """
    file = tempfile.TemporaryFile("w+", encoding="utf-8", newline="")  # noqa: SIM115 - is given away
    try:
        database.in_thread(spreadsheets.write, asked, file, named=named)
    except BaseException:
        file.close()
        raise
    finally:
        connection.close()
    file.seek(0)
    return file


def named(keys: Mapping[str, str]) -> dict[str, str]:
    """What a report's group is called: a session by its id, which is private to its user."""
    if "session" not in keys:
        return dict(keys)
    key = keys["session"]
    return {"user": key.partition("/")[0], **keys, "session": ChatSession.id_in_ledger_key(key)}
