"""Child processes that are started again when they die, and that die with their parent."""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
#: A child that lived for so long was well: it starts again at once.
STEADY_S = 10.0
#: What is left of the time to end for those that the others needed.
SERVICES_WITHIN_S = 1.0
LONGEST_LINE = 64 * 1024
PR_SET_PDEATHSIG = 1


@dataclass(kw_only=True)
class Child:
    """One child process: how to start it, and what it is called in the log."""

    name: str
    command: Sequence[str]
    #: The name that the process shows, where its file is called something else.
    program: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    sockets: Sequence[int] = ()
    #: Whether the others need it for as long as they live.
    is_service: bool = False
    process: asyncio.subprocess.Process | None = None


class Supervisor:
    """Keeps children running until it is told to stop."""

    def __init__(self, *, write_line: Callable[[str, str], None]) -> None:
        self._write_line = write_line
        self._children: list[Child] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._is_stopping = False

    def start(self, child: Child) -> None:
        """Start a child and keep it running."""
        self._children.append(child)
        self._keepers.append(asyncio.get_running_loop().create_task(self._keep(child)))

    async def stop(self, *, grace_s: float) -> None:
        """End the children, what the others need last; kills what is left after `grace_s`."""
        self._is_stopping = True
        await self._stop(grace_s - SERVICES_WITHIN_S, services=False)
        await self._stop(SERVICES_WITHIN_S, services=True)

    def kill(self) -> None:
        """End all children at once, without their leave."""
        self._is_stopping = True
        for child in self._children:
            _signal(child, signal.SIGKILL)

    async def _stop(self, grace_s: float, *, services: bool) -> None:
        ending = {
            keeper: child
            for child, keeper in zip(self._children, self._keepers, strict=True)
            if child.is_service == services
        }
        for child in ending.values():
            _signal(child, signal.SIGTERM)
        if ending:
            _, unfinished = await asyncio.wait(ending, timeout=grace_s)
            for keeper in unfinished:
                _signal(ending[keeper], signal.SIGKILL)
            await asyncio.gather(*ending)

    async def _keep(self, child: Child) -> None:
        pause_s = 0.0
        while not self._is_stopping:
            started_at = time.monotonic()
            code = await self._run_once(child)
            if time.monotonic() - started_at > STEADY_S:
                pause_s = 0.0
            if not self._is_stopping:
                self._write_line("up", f"{child.name} ended with {code}, again in {pause_s:g} s")
                await asyncio.sleep(pause_s)
            pause_s = min(max(pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)

    async def _run_once(self, child: Child) -> int:
        child.process = await asyncio.create_subprocess_exec(
            child.program or child.command[0],
            *child.command[1:],
            executable=child.command[0],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **child.environment},
            pass_fds=tuple(child.sockets),
            limit=LONGEST_LINE,
            # A Ctrl-C reaches the parent alone, which then ends the children in order.
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        await self._pump(child)
        return await child.process.wait()

    async def _pump(self, child: Child) -> None:
        stream = child.process and child.process.stdout
        while stream:
            try:
                line = await stream.readline()
            except ValueError:
                continue  # a line beyond the limit; the rest of it is read as the next one
            if not line:
                return
            if text := line.decode(errors="replace").rstrip():
                self._write_line(child.name, text)


def _signal(child: Child, number: signal.Signals) -> None:
    process = child.process
    if process is not None and process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            # The child leads a process group of its own.
            os.killpg(process.pid, number)


def _die_with_parent() -> None:
    """Ask Linux to end the child when its parent dies, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
