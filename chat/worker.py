"""What a worker process has beside Celery: one event loop for all its runs, and their keepers.

On the loop: the committer, the executions, the reaper, and a listener for cancels. On a thread of
its own, so that nothing on the loop can delay it: the heartbeat that keeps the leases.
"""

import asyncio
import logging
import os
import secrets
import socket
import threading
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import uvloop
from channels.layers import get_channel_layer
from django.db import connection

from chat import (
    attendance,
    broadcast,
    compaction,
    database,
    doorbell,
    execution,
    leases,
    recovery,
    runs,
)
from chat.agent import agent
from chat.committer import Committer
from chat.execution import STOPS, Execution
from costs import budgets, rollups

logger = logging.getLogger(__name__)

#: What is done now and then, and again at once as long as there was something to do.
TIDYING: tuple[Callable[[], int], ...] = (compaction.compact, rollups.build)

HEARTBEAT_S = 3.0
REAP_EVERY_S = 1.0
#: When the database comes back, everybody has this long to renew his leases.
REAP_AFTER_OUTAGE_S = HEARTBEAT_S + 1
#: Beyond the grace; the database may be slow.
HAND_OVER_WITHIN_S = 3.0
CANCEL_AGAIN_AFTER_S = 1.0
RETRY_S = 1.0
LOOK_EVERY_S = 0.05
TIDY_EVERY_S = 600.0
TIDY_PAUSE_S = 0.5


class Worker:
    """The runs of one process."""

    def __init__(self, *, concurrency: int, grace_s: float = 0) -> None:
        self.name = f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._concurrency = concurrency
        self._grace_s = grace_s
        self._running: dict[uuid.UUID, Execution] = {}
        #: How many runs are being executed, with those that are just being claimed.
        self._executing = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = uvloop.new_event_loop()
        self._is_stopping = threading.Event()
        self._is_drained = threading.Event()
        self._is_closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._committer: Committer

    def start(self) -> None:
        """Start the loop and the heartbeat, each on a thread."""
        started = threading.Event()
        self._threads = [
            threading.Thread(target=self._run_loop, args=(started,), name="runs", daemon=True),
            threading.Thread(target=self._beat_forever, name="heartbeat", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        started.wait()

    def execute(self, run_id: uuid.UUID) -> None:
        """Execute a run on the loop; returns when it has ended or somebody else has it."""
        asyncio.run_coroutine_threadsafe(self._execute(run_id), self._loop).result()

    def shut_down(self) -> None:
        """Claim nothing more, let short runs end, hand the others back; then the loop is idle."""
        self._is_stopping.set()
        asyncio.run_coroutine_threadsafe(self._drain(), self._loop)

    def wait_until_drained(self) -> None:
        """Shut down, and wait for it: Celery knows nothing of what the reaper executes."""
        if not self._is_stopping.is_set():
            self.shut_down()
        self._is_drained.wait(self._grace_s + HAND_OVER_WITHIN_S)

    def close(self) -> None:
        """Stop at once, as a dying process would; runs are left to the reapers of others."""
        self._is_stopping.set()
        self._is_closed.set()
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            thread.join()

    def _run_loop(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._committer = Committer(worker=self.name)
        for keeper in (self._committer.run, self._reap_forever, self._listen_forever):
            self._spawn(self._supervised(keeper))
        for work in TIDYING:
            self._spawn(self._supervised(partial(self._tidy_forever, work)))
        self._spawn(broadcast.warn_of_eviction())
        self._spawn(agent.ask_for_tools())
        self._loop.call_soon(started.set)
        self._loop.run_forever()
        self._loop.run_until_complete(self._end_tasks())
        self._loop.close()

    async def _supervised(self, keeper: Callable[[], Awaitable[None]]) -> None:
        """Start a keeper again when a bug ends it: without it every run here would hang."""
        while True:
            try:
                await keeper()
            except Exception:
                if self._is_drained.is_set():
                    return  # the process is ending, and its threads have
                logger.exception("%s ended, starting it again", keeper)
                await asyncio.sleep(RETRY_S)
            else:
                return

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _execute(self, run_id: uuid.UUID) -> None:
        if self._is_stopping.is_set():
            return
        self._executing += 1
        try:
            executed = await execution.execute(
                run_id, committer=self._committer, worker=self.name, running=self._running
            )
        finally:
            self._executing -= 1
        if executed:
            await self._start_next(run_id)

    async def _start_next(self, run_id: uuid.UUID) -> None:
        """A run that waited in the same session may start now."""
        next_id = await database.read(runs.next_after, run_id)
        if next_id:
            doorbell.ring(next_id)

    async def _reap_forever(self) -> None:
        was_away = False
        while True:
            await asyncio.sleep(REAP_EVERY_S * (0.75 + secrets.randbelow(100) / 200))
            if self._is_stopping.is_set():
                return
            try:
                if was_away:
                    await database.read(recovery.dead)
                    await asyncio.sleep(REAP_AFTER_OUTAGE_S)
                    was_away = False
                await self._reap()
                await self._tidy_up(database.write(budgets.settle_left_over), "Budgets")
            except database.Unavailable as error:
                was_away = True
                logger.warning("The reaper cannot reach the database: %s", error)

    async def _reap(self) -> None:
        for run_id in await database.read(recovery.dead):
            try:
                session_pk, stored = await database.write(recovery.end_dead, run_id)
            except Exception:
                # Its rows may be locked by one who is frozen; the others are to be ended.
                logger.exception("Run %s cannot be ended yet", run_id)
                continue
            if stored:
                logger.warning("Run %s was left by a dead worker and has been ended", run_id)
                await broadcast.publish((session_pk, stored))
        for run in await database.read(attendance.unattended):
            await self._tidy_up(runs.cancel(run, "disconnected"), f"Run {run.pk}")
        for run in await database.read(attendance.overdue):
            await self._tidy_up(runs.cancel(run, "timed_out"), f"Run {run.pk}")
        room = self._concurrency - len(self._running)
        for run_id in (await database.read(recovery.unclaimed))[: max(room, 0)]:
            # Not through the broker: it may be the very thing that is down.
            if run_id not in self._running:
                self._spawn(self._execute(run_id))

    async def _tidy_up(self, work: Awaitable[None], what: str) -> None:
        """Do something that may fail without keeping the reaper from the rest."""
        try:
            await work
        except Exception:
            logger.exception("%s cannot be tidied up yet", what)

    async def _tidy_forever(self, work: Callable[[], int]) -> None:
        while True:
            pause_s = TIDY_EVERY_S * (0.5 + secrets.randbelow(100) / 100)
            try:
                if await database.write(work):
                    pause_s = TIDY_PAUSE_S
            except database.Unavailable as error:
                logger.warning("%s has to wait: %s", work.__module__, error)
            await asyncio.sleep(pause_s)

    async def _listen_forever(self) -> None:
        """Hear of cancels at once; the heartbeat would tell too, seconds later."""
        layer = get_channel_layer()
        while True:
            try:
                channel = await broadcast.join(broadcast.WORKERS_GROUP)
                while True:
                    self._hear(await layer.receive(channel))
            except Exception as error:  # noqa: BLE001 - whatever Redis does, listen again
                broadcast.failures.add(error)
                await asyncio.sleep(RETRY_S)

    def _hear(self, message: dict[str, str]) -> None:
        if message.get("type") == "cancel":
            self._stop(uuid.UUID(message["run_id"]), message["reason"])

    def _stop(self, run_id: uuid.UUID, reason: str) -> None:
        found = self._running.get(run_id)
        if found:
            found.stop(reason if reason in STOPS else "requested")  # type: ignore[arg-type]

    def _beat_forever(self) -> None:
        pause_s = HEARTBEAT_S
        while not self._is_closed.wait(pause_s):
            asked = list(self._running)
            try:
                held = database.in_thread(leases.beat, asked, worker=self.name)
            except database.Unavailable as error:
                logger.warning("The heartbeat cannot reach the database: %s", error)
                pause_s = RETRY_S
            else:
                pause_s = HEARTBEAT_S
                if not self._loop.is_closed():
                    self._loop.call_soon_threadsafe(self._compare, asked, held)
        connection.close()

    def _compare(self, asked: list[uuid.UUID], held: dict[uuid.UUID, str | None]) -> None:
        for run_id in asked:
            if run_id not in held:
                self._stop(run_id, "lease_lost")
            elif reason := held[run_id]:
                self._stop(run_id, reason)

    async def _end_tasks(self) -> None:
        """Cancel again and again: redis-py may miss it, and what ends may begin something."""
        while left := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in left:
                task.cancel()
            ended, _ = await asyncio.wait(left, timeout=CANCEL_AGAIN_AFTER_S)
            await asyncio.gather(*ended, return_exceptions=True)

    async def _drain(self) -> None:
        running = [found.task for found in self._running.values() if found.task]
        if running:
            await asyncio.wait(running, timeout=self._grace_s)
        # Again and again: one may only just be being claimed.
        while self._executing:
            for found in list(self._running.values()):
                found.stop("shutdown")
            await asyncio.sleep(LOOK_EVERY_S)
        self._is_drained.set()
