"""Reports as CSV that a spreadsheet may open: no cell of it is taken for a formula."""

import csv
from collections.abc import Callable, Mapping
from typing import Protocol

from costs import reports
from costs.report_query import Query

#: What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection).
FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r", "\n")
COLUMNS = (
    "cost",
    "currency",
    "estimated_cost",
    "wasted_cost",
    "calls",
    "unpriced_calls",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
)


class Writable(Protocol):
    """What takes text piece by piece."""

    def write(self, text: str, /) -> object: ...


Named = Callable[[Mapping[str, str]], Mapping[str, str]]


def write(asked: Query, to: Writable, *, named: Named = dict) -> None:
    """Write a report line by line; an unknown cost is an empty cell."""
    writer = csv.writer(to)
    writer.writerow([*named(dict.fromkeys(asked.groups, "")), *COLUMNS])
    for line in reports.lines(asked):
        told = {**line.sums, "currency": asked.currency}
        names = map(_text, named(line.keys).values())
        writer.writerow([*names, *(told[column] for column in COLUMNS)])


def _text(cell: str) -> str:
    cell = cell.replace("\0", "")
    return f"'{cell}" if cell.startswith(FORMULA_MARKS) else cell
