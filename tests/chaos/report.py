"""The report of the long form: what each fault did to the clients, the log and the ledger."""

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.report import cpu_model
from tests.chaos import faults, storm
from tests.chaos.rows import Row, Size
from tests.chaos.scene import Outcome
from tests.process.product import ROOT

INTRODUCTION = """\
Real processes, broken on purpose while answers stream: **single** is `manage.py up` on SQLite,
**cluster** two instances behind nginx (`deploy/nginx.conf`) on one PostgreSQL and one Valkey.
Every client keeps its whole history and connects again when its connection breaks; three in ten
leave and come back at random, one in ten stops its answer, one in five sends its message twice
with the same key. Afterwards each history is compared with the log, each text with the tokens
that the provider says it sent, and each call in the ledger with the provider's own record.

**Recovery** is the longest time that any client heard nothing after the fault was healed, or
after it was done where nothing is to be healed. **Lost** and **doubled** are events, over all
clients. **Ledger** is the difference in tokens over all calls whose provider reported its usage;
calls that were cut off are charged by an estimate that is marked as one, and are counted in the
last column."""
STORM = """\
And a storm over two instances and all providers' formats: {runs} runs, {at_once} at once, of which
some use tools, are stopped, or meet errors, resets and cut streams, while workers are killed in the
middle of answers, one after the other as soon as another one can go on. Each request that a
provider has seen is matched with its call. **Complete** calls are charged as they are billed, class
by class; **untold** ones are complete but came without usage, and **broken off** is what was
stopped, cut off or lost its worker: these are estimates that are marked as such, and differ from
what was sent by the tokens **in flight** at most; what broke before anything was said is charged
nothing. **Refused** is what an error answered, and **unsent** what never arrived at the provider.
The seed was {seed}."""
STORM_COLUMNS = ("runs", "calls", "kills", "complete", "difference", "untold", "broken off")
STORM_COLUMNS += ("in flight", "refused", "unsent")
ELSEWHERE = "These need no load, and are part of every test run:"
COLUMNS = ("row", "on", "fault", "what clients saw", "how runs ended", "recovery")
COLUMNS += ("lost", "doubled", "ledger", "estimated")

SHORT_COLUMNS = ("fault", "what clients saw", "recovery", "lost", "doubled", "ledger")
IN_SHORT = frozenset(
    [
        *("W1", "W3", "W5", "D1", "D4", "R1f-8s", "R2f", "R3f", "P1", "P4", "Q1-10s"),
        *("T1f", "X1", "X2"),
    ]
)


@dataclass(frozen=True, slots=True)
class Played:
    """A row and what came of it; no outcome when it could not be played to its end."""

    row: Row
    outcome: Outcome | None
    problems: Sequence[str]


def write(path: Path, played: Sequence[Played], blown: storm.Outcome, *, size: Size) -> None:
    """Write the report as Markdown."""
    parts = ["# Chaos", INTRODUCTION, conditions(size), table(played), *of_storm(blown)]
    parts += [ELSEWHERE, elsewhere()]
    parts += ["In short, as the README says it:", short_table(played)]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def conditions(size: Size) -> str:
    """When, on what, at which commit and load it was measured."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    facts = {
        "Date": f"{datetime.now(UTC):%Y-%m-%d}",
        "Commit": commit.stdout.strip() or "unknown",
        "Machine": f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()}",
        "Load": f"{size.streams} answers at once of {size.tokens} tokens, one each {size.gap_ms} ms"
        ", where the row says nothing else",
        "Command": "`python -m tests.chaos`",
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def table(played: Sequence[Played]) -> str:
    """One line for each row."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *map(cells, played)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def short_table(played: Sequence[Played]) -> str:
    """The faults that everybody asks about."""
    lines = [SHORT_COLUMNS, ("---",) * len(SHORT_COLUMNS)]
    for item in played:
        if item.row.id in IN_SHORT:
            _, _, fault, seen, _, recovery, *counts, _ = cells(item)
            lines.append((fault, seen, recovery, *counts))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def of_storm(blown: storm.Outcome) -> tuple[str, str]:
    """What the storm was, and its numbers."""
    found = blown.account
    words = STORM.format(runs=found.runs, at_once=storm.AT_ONCE, seed=blown.storm.seed)
    counts = (found.runs, found.calls, blown.kills, found.counted, found.difference)
    counts += (found.untold, found.broken_off, found.most_in_flight, found.refused, found.unsent)
    lines = [STORM_COLUMNS, ("---",) * len(STORM_COLUMNS), tuple(map(str, counts))]
    return words, "\n".join(f"| {' | '.join(line)} |" for line in lines)


def elsewhere() -> str:
    """The rows that other tests provoke."""
    lines = [("row", "fault", "where"), ("---",) * 3, *faults.ELSEWHERE]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(played: Played) -> tuple[str, ...]:
    row, outcome = played.row, played.outcome
    start = (row.id, row.profile, row.fault)
    if outcome is None:
        return (*start, "could not be played", *("–",) * (len(COLUMNS) - 4))
    return (
        *start,
        row.seen if not played.problems else f"**not as promised**: {_plain(played.problems[0])}",
        outcome.told,
        f"{outcome.recovery_s:.1f} s",
        str(outcome.lost),
        str(outcome.doubled),
        str(outcome.difference),
        str(outcome.estimated_calls),
    )


def _plain(problem: str) -> str:
    """What went wrong, as far as a cell of a table can say it."""
    return problem.splitlines()[0].replace("|", "/")[:120]
