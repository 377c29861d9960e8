"""Processes of the benchmark: starting them, and what they use of the machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

READY_WITHIN_S = 90.0
STOP_WITHIN_S = 20.0
ROOT = Path(__file__).resolve().parents[2]
#: What a child's command line contains, and what is called by that in the tables.
ROLES = {
    "celery": "worker",
    "project.server": "web",
    "valkey-server": "valkey",
    "manage.py": "supervisor",
    "tests.benchmarks.reference": "server",
}
#: Settings of the caller that would change what is measured.
NOT_PASSED_ON = ("DATABASE_URL", "REDIS_", "LANGSMITH_", "LANGCHAIN_", "LLM_", "WEB_", "WORKER_")


class NotRunning(Exception):
    """A process did not become ready, or ended while it was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What the processes of a system have used so far, by role."""

    at: float
    cpu_s: dict[str, float]

    def since(self, earlier: "Use") -> dict[str, float]:
        """The CPU seconds between two moments."""
        return {role: spent - earlier.cpu_s[role] for role, spent in self.cpu_s.items()}


@dataclass(frozen=True, slots=True)
class Processes:
    """A started process and its children, each with its role."""

    by_role: Mapping[str, psutil.Process]

    @classmethod
    def below(cls, root: int) -> "Processes":
        """Everything that `root` has started, and itself."""
        process = psutil.Process(root)
        return cls({role_of(p): p for p in (process, *process.children(recursive=True))})

    def use(self) -> Use:
        """The CPU time so far. Raises NotRunning when one of them has ended."""
        spent = {role: cpu_s(role, process) for role, process in self.by_role.items()}
        return Use(at=time.monotonic(), cpu_s=spent)

    def memory_mb(self) -> dict[str, float]:
        """The resident memory of each process."""
        return {role: p.memory_info().rss / 2**20 for role, p in self.by_role.items()}


def cpu_s(role: str, process: psutil.Process) -> float:
    """The user and system time of a process so far. Raises NotRunning."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess as error:
        raise NotRunning(f"The {role} process ended while it was measured.") from error
    return float(times.user + times.system)


def role_of(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    return next((role for part, role in ROLES.items() if part in command), process.name())


@contextmanager
def running(
    *arguments: str, ready: Path, log: Path, environment: Mapping[str, str]
) -> Iterator[tuple[int, str]]:
    """Run Python with `arguments`; gives its process id and what it wrote to `ready`.

    Raises NotRunning with the end of the log.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(NOT_PASSED_ON)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**kept, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process.pid, wait_until_ready(process, ready, log)
    finally:
        stop(process)


def wait_until_ready(process: subprocess.Popen[bytes], ready: Path, log: Path) -> str:
    deadline = time.monotonic() + READY_WITHIN_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotRunning(f"{process.args!r}\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.05)
    return ready.read_text(encoding="utf-8").strip()


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
