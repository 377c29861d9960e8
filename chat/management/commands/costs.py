"""`manage.py costs`: the cost report in a terminal, as a table, CSV or JSON."""

import json
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from chat import cost_reports
from costs import report_query, reports, spreadsheets
from costs.exchange import USD
from costs.report_query import Query
from costs.reports import Line, Report

#: Behind the cost.
COLUMNS = (
    "wasted",
    "estimated",
    "calls",
    "unpriced",
    "prompt",
    "cached",
    "completion",
)


class Command(BaseCommand):
    help = "Say what was spent, from one UTC day to another; without days it is this month."

    def add_arguments(self, parser: CommandParser) -> None:
        known = ", ".join(report_query.GROUPS)
        parser.add_argument("--from", dest="first", metavar="DAY", help="like 2026-11-01")
        parser.add_argument("--to", dest="last", metavar="DAY", help="the last day of the report")
        parser.add_argument("--group-by", default="day", help=f"{known}; several with commas")
        parser.add_argument("--user", help="only what this user has spent: a name, or user:1")
        parser.add_argument("--currency", default=USD, help="at the rate of the last day")
        parser.add_argument(
            "--limit", type=int, default=report_query.DEFAULT_LINES, help="of a table"
        )
        parser.add_argument("--format", choices=("table", "csv", "json"), default="table")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            asked = report_query.parse(
                first=options["first"],
                last=options["last"],
                group_by=options["group_by"],
                owner_key=cost_reports.owner_key_of(options["user"]),
                currency=options["currency"],
                limit=None if options["format"] == "csv" else max(options["limit"], 1),
            )
            self._tell(asked, options["format"])
        except report_query.InvalidReport as error:
            raise CommandError(str(error)) from error

    def _tell(self, asked: Query, how: str) -> None:
        match how:
            case "csv":
                spreadsheets.write(asked, self.stdout, named=cost_reports.named)
            case "json":
                told = cost_reports.as_json(asked)
                self.stdout.write(json.dumps(told, indent=2, cls=DjangoJSONEncoder))
            case _:
                self.stdout.write(_table(reports.read(asked)))


def _table(report: Report) -> str:
    names = list(cost_reports.named(dict.fromkeys(report.query.groups, "")))
    rows = [[*names, f"cost, {report.query.currency}", *COLUMNS]]
    for line in report.lines:
        keys = [key or "–" for key in cost_reports.named(line.keys).values()]
        rows.append([*keys, *_cells(line)])
    if report.groups > len(report.lines):
        rows.append([f"… and {report.groups - len(report.lines)} more", *[""] * (len(rows[0]) - 1)])
    rows.append(["total", *[""] * (len(names) - 1), *_cells(report.total)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_aligned(row, widths, keys=len(names)) for row in rows)


def _aligned(row: Sequence[str], widths: Sequence[int], *, keys: int) -> str:
    cells = zip(row, widths, strict=True)
    aligned = [
        cell.ljust(width) if column < keys else cell.rjust(width)
        for column, (cell, width) in enumerate(cells)
    ]
    return "  ".join(aligned).rstrip()


def _cells(line: Line) -> list[str]:
    return [
        line.amount or "unknown",
        line.wasted,
        line.estimated,
        str(line.calls),
        str(line.unpriced_calls),
        str(line.prompt_tokens),
        line.cached_share,
        str(line.completion_tokens),
    ]
