"""The report: the measured numbers as tables, and what they say about which machine."""

import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.measure import Measurement

Pair = tuple[Measurement, Measurement]
#: Written by tests/benchmarks/ledger_report.py.
LEDGER = "# Reports over a large ledger"

INTRODUCTION = """\
Each stream is one conversation whose agent answers with 20 tokens a second, and each token carries
the time at which the provider sent it. **Chatledger** is `manage.py up` as it is: one web process,
one worker, valkey and SQLite. The **reference** is the same LangChain agent with the same prompt
and tools in a single FastAPI process on uvicorn and uvloop, which writes each delta to its
WebSocket at once. It leaves out what Chatledger is for: no event is stored before it is shown,
nothing survives the process, no usage is counted or priced, no stream can be resumed or followed
by a second reader, and a blocked agent blocks the server. Chatledger reads the provider's chunks
as plain dicts, the reference with LangChain's client as it comes; that is part of the ratio.

CPU is user and system time of all processes of a system from the first token to the last, divided
by the tokens delivered; starting the agents of the later streams is part of it. The provider and
the client are processes of their own and not counted. Latency is from the provider's stamp to the
client's receipt. Every token of every stream is checked to arrive exactly once and in order;
otherwise there is no report."""


def write(path: Path, pairs: Sequence[Pair], *, command: str, repeat: int) -> None:
    """Write the report as Markdown."""
    heading = f"# Benchmark\n\n{INTRODUCTION}\n\n{conditions(command, repeat)}"
    kept = _read(path).partition(f"\n{LEDGER}\n")
    ledger = "".join(kept[1:])
    path.write_text(f"{heading}\n\n{tables(pairs)}\n{ledger}", encoding="utf-8")


def write_ledger(path: Path, body: str) -> None:
    """Write the section about the ledger, the last one, and keep what is before it."""
    before = _read(path).partition(f"\n{LEDGER}\n")[0]
    path.write_text(f"{before.rstrip()}\n\n{LEDGER}\n\n{body}\n", encoding="utf-8")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def conditions(command: str, repeat: int) -> str:
    """When, on what and how it was measured."""
    facts = {
        "Date": f"{datetime.now(UTC):%Y-%m-%d}",
        "Machine": f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()}",
        "Software": f"Python {platform.python_version()}, Django {version('django')}, "
        f"LangChain {version('langchain')}, SQLite {sqlite3.sqlite_version} (WAL)",
        "Command": f"`{command}`",
        "Runs": "one of each" if repeat == 1 else f"{repeat} of each in turn, medians",
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(found, platform.machine())


def tables(pairs: Sequence[Pair]) -> str:
    """All tables, the comparison first."""
    sections = {
        "Chatledger against the reference": compared(pairs),
        "Measured": measured(pairs),
        "Where Chatledger's CPU time goes": shares([ours for ours, _ in pairs]),
        "Resident memory at the end of a level, MB": memory(pairs),
    }
    return "\n\n".join(f"## {title}\n\n{body}" for title, body in sections.items())


def compared(pairs: Sequence[Pair]) -> str:
    return table(
        ("streams", "CPU per token", "p50 latency", "p99 latency"),
        (
            (
                ours.streams,
                f"{ours.total_cpu_us / other.total_cpu_us:.2f} x",
                f"{ours.p50_ms - other.p50_ms:+.1f} ms",
                f"{ours.p99_ms - other.p99_ms:+.1f} ms",
            )
            for ours, other in pairs
        ),
    )


def measured(pairs: Sequence[Pair]) -> str:
    return table(
        ("streams", "system", "CPU per token", "CPU cores busy", "p50", "p99", "tokens", "in"),
        (
            (
                each.streams,
                each.system,
                f"{each.total_cpu_us:.0f} µs",
                f"{each.total_cpu_us * each.tokens / each.seconds / 1e6:.2f}",
                f"{each.p50_ms:.1f} ms",
                f"{each.p99_ms:.1f} ms",
                f"{each.tokens} of {each.tokens}",
                f"{each.seconds:.1f} s",
            )
            for pair in pairs
            for each in pair
        ),
    )


def shares(ours: Sequence[Measurement]) -> str:
    roles = list(ours[0].cpu_us)
    return table(
        ("streams", *roles),
        (
            (
                each.streams,
                *(
                    f"{each.cpu_us[role]:.0f} µs ({each.cpu_us[role] / each.total_cpu_us:.0%})"
                    for role in roles
                ),
            )
            for each in ours
        ),
    )


def memory(pairs: Sequence[Pair]) -> str:
    ours, other = pairs[0]
    names = (*ours.memory_mb, f"{ours.system}, all", other.system)
    return table(
        ("streams", *names),
        (
            (
                each.streams,
                *(f"{each.memory_mb[role]:.0f}" for role in ours.memory_mb),
                f"{each.total_memory_mb:.0f}",
                f"{beside.total_memory_mb:.0f}",
            )
            for each, beside in pairs
        ),
    )


def table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table that is also readable as it is."""
    cells = [list(names), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
    lines = [
        "| " + " | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|")
    return "\n".join(lines)
