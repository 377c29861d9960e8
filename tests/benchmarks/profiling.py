"""Where the time goes: samples of running processes by py-spy, where it is installed.

Only threads that hold the interpreter's lock are sampled: what waits is left out, and so is what
runs without the lock, which is mostly the database's own code and the system's.
"""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.systems import System

RATE = 250
TOP = 30
PROFILED = ("worker", "web", "server")


def find() -> str | None:
    """The program, beside this Python or on the path."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


@contextmanager
def sampling(program: str, system: System, *, folder: Path, seconds: float) -> Iterator[None]:
    """Sample the Python processes of a system meanwhile, and print the tables at the end."""
    pid_of = {role: p.pid for role, p in system.processes.by_role.items() if role in PROFILED}
    files = {role: folder / f"{system.name}-{role}.raw" for role in pid_of}
    options = ("--gil", "--rate", str(RATE), "--duration", str(round(seconds)), "--format", "raw")
    started = [
        subprocess.Popen(
            (program, "record", *options, "--pid", str(pid_of[role]), "--output", str(file)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for role, file in files.items()
    ]
    yield
    for process in started:
        process.wait()
    for role, file in files.items():
        print_profile(f"{system.name}: {role}", file)


def print_profile(title: str, file: Path) -> None:
    """Print the functions with the most time of their own, and those with the most below them."""
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    for line in file.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        own[frames[-1]] += int(count)
        below.update(dict.fromkeys(frames, int(count)))
    total = own.total() or 1
    for kind, counted in (("own time", own), ("with what it calls", below)):
        print(f"\n{title}, {kind} ({total} samples)")
        for frame, count in counted.most_common(TOP):
            print(f"{100 * count / total:6.1f} %  {frame}")
