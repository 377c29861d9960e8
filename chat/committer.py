"""Group commit: one transaction for all runs of a process, every few dozen milliseconds.

A run's events wait in its RunBuffer, with whatever else must be stored in the same transaction
(ledger entries, the message, the run's state). The Committer collects all buffers, checks that
each run's lease is still ours, stores everything at once and only then lets clients hear of it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from weakref import WeakSet

from django.db import connection, transaction
from django.utils import timezone

from chat import broadcast, counters, database, event_log, leases
from chat.broadcast import Fresh
from chat.event_log import Entry, Place
from chat.events import DELTA_TYPES, Envelope, Event, merge

logger = logging.getLogger(__name__)

WINDOW_S = 0.04
BUFFER_EVENTS = 1000
#: Commits that may wait to be published; what is beyond them is found in the log.
PUBLISH_BACKLOG = 100

#: Work for the transaction that stores a buffer's events; it is given their envelopes.
Write = Callable[[Sequence[Envelope]], object]


class LeaseLost(Exception):
    """Another worker has the run now; nothing more may be written for this attempt."""


class StorageUnavailable(Exception):
    """The database takes nothing for longer than a run may wait."""


@dataclass(slots=True)
class _Batch:
    """What one buffer hands over for one transaction."""

    buffer: "RunBuffer"
    entries: list[Entry]
    writes: list[Write]
    done: asyncio.Future[None]


@dataclass(slots=True, eq=False, weakref_slot=True)
class RunBuffer:
    """The events of one run that are not committed yet."""

    place: Place
    committer: "Committer"
    #: The newest seq that is known to be stored.
    last_seq: int = 0
    _entries: list[Entry] = field(default_factory=list)
    _writes: list[Write] = field(default_factory=list)
    #: Done when what waits now is committed; made only when somebody wants to know.
    _done: asyncio.Future[None] | None = None
    #: The same for what the committer has taken last.
    _in_flight: asyncio.Future[None] | None = None
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _error: Exception | None = None

    async def put(self, event: Event) -> None:
        """Take an event; waits while the buffer is full, so that the provider is read no faster.

        Raises LeaseLost or StorageUnavailable when the run cannot go on.
        """
        while len(self._entries) >= BUFFER_EVENTS:
            self._room.clear()
            await self._room.wait()
        self.add(event)
        if self._error:
            raise self._error

    def add(self, event: Event, write: Write | None = None) -> None:
        """Take an event without waiting, and what must be stored together with it."""
        last = self._entries[-1] if self._entries else None
        merged = merge(last.event, event) if last and event.type in DELTA_TYPES else None
        if last and merged:
            self._entries[-1] = Entry(event=merged, at=last.at)
        else:
            self._entries.append(Entry(event=event, at=timezone.now()))
        if write:
            self._writes.append(write)
        self.committer.wake(self, is_urgent=event.type not in DELTA_TYPES)

    def also(self, write: Write) -> None:
        """Store something with the next transaction of this run, whenever that is."""
        self._writes.append(write)

    async def flush(self) -> None:
        """Wait until everything taken so far is committed.

        Raises LeaseLost or StorageUnavailable.
        """
        if self._error:
            raise self._error
        if self._entries or self._writes:
            self._done = self._done or asyncio.get_running_loop().create_future()
            self.committer.wake(self, is_urgent=True)
        done = self._done or self._in_flight
        if done:
            await asyncio.shield(done)

    def take(self) -> _Batch:
        """Hand over everything for one transaction."""
        done = self._done or asyncio.get_running_loop().create_future()
        batch = _Batch(self, self._entries, self._writes, done)
        self._entries, self._writes, self._done = [], [], None
        self._in_flight = done
        self._room.set()
        return batch

    def fail(self, error: Exception) -> None:
        """Refuse everything from now on, and tell those who wait."""
        self._error = error
        self._room.set()
        for waited in (self._done, self._in_flight):
            if waited and not waited.done():
                waited.set_exception(error)
                # Not every flush has somebody who waits for it.
                waited.exception()
        self._done = self._in_flight = None

    def reopen(self) -> None:
        """Take the end of a run that the database was away for; what waits goes before it."""
        self._error = None


class Committer:
    """Commits the buffers of one process; lives on one event loop, writes on one thread."""

    def __init__(self, *, worker: str) -> None:
        self._worker = worker
        self._buffers: WeakSet[RunBuffer] = WeakSet()
        self._dirty: dict[RunBuffer, None] = {}
        self._something = asyncio.Event()
        self._urgent = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="committer")
        self._to_publish: asyncio.Queue[list[Fresh]] = asyncio.Queue(PUBLISH_BACKLOG)

    def open(self, place: Place) -> RunBuffer:
        """Give a run its buffer."""
        buffer = RunBuffer(place, self)
        self._buffers.add(buffer)
        return buffer

    def wake(self, buffer: RunBuffer, *, is_urgent: bool) -> None:
        """Note that a buffer has something; what is urgent does not wait for the window."""
        self._dirty[buffer] = None
        self._something.set()
        if is_urgent:
            self._urgent.set()

    async def run(self) -> None:
        """Commit and publish until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._publish_all())
                tasks.create_task(self._commit_all())
        finally:
            # `connection` is another one on each thread, so it is looked up there.
            self._thread.submit(lambda: connection.close())

    async def _commit_all(self) -> None:
        committed_at = 0.0
        while True:
            await self._something.wait()
            await self._wait_for_more(committed_at + WINDOW_S - time.monotonic())
            self._something.clear()
            self._urgent.clear()
            batches = [buffer.take() for buffer in self._dirty]
            self._dirty.clear()
            committed_at = time.monotonic()
            await self._commit(batches)

    async def _wait_for_more(self, remaining_s: float) -> None:
        if remaining_s <= 0:
            return
        try:
            async with asyncio.timeout(remaining_s):
                await self._urgent.wait()
        except TimeoutError:
            return

    async def _commit(self, batches: list[_Batch]) -> None:
        try:
            stored = await self._store_patiently(batches)
        except Exception as error:
            logger.exception("A batch of %s runs cannot be stored", len(batches))
            await self._commit_each(batches, error)
        else:
            self._announce(batches, stored)

    async def _commit_each(self, batches: list[_Batch], error: Exception) -> None:
        """One run's bad data must not take the others with it."""
        if len(batches) == 1:
            _settle(batches[0], error)
            return
        for batch in batches:
            await self._commit([batch])

    def _announce(self, batches: list[_Batch], stored: list[list[Envelope] | None]) -> None:
        fresh: list[Fresh] = []
        for batch, envelopes in zip(batches, stored, strict=True):
            _settle(batch, LeaseLost() if envelopes is None else None)
            if envelopes:
                counters.add("events_stored", len(envelopes))
                batch.buffer.last_seq = envelopes[-1].seq
                fresh.append((batch.buffer.place.session_pk, envelopes))
        if fresh:
            try:
                self._to_publish.put_nowait(fresh)
            except asyncio.QueueFull as error:
                broadcast.failures.add(error)

    async def _store_patiently(self, batches: list[_Batch]) -> list[list[Envelope] | None]:
        loop = asyncio.get_running_loop()
        store = self._store
        is_told = False
        async for waited_s in database.tries():
            try:
                return await loop.run_in_executor(self._thread, database.in_thread, store, batches)
            except database.Unavailable as error:
                if store == self._store:
                    logger.warning("The database takes nothing, trying again: %s", error)
                store = self._store_unless_stored
                if waited_s >= database.PATIENCE_S and not is_told:
                    is_told = True
                    for buffer in list(self._buffers):
                        buffer.fail(StorageUnavailable(str(error)))
        raise AssertionError("tries never end by themselves")

    @transaction.atomic
    def _store(self, batches: list[_Batch]) -> list[list[Envelope] | None]:
        places = [batch.buffer.place for batch in batches]
        ours = leases.still_held(places, worker=self._worker)
        held = [batch for batch in batches if batch.buffer.place.run_id in ours]
        with_events = [(b.buffer.place, b.entries) for b in held if b.entries]
        stored = iter(event_log.append(with_events) if with_events else [])
        results: dict[int, list[Envelope]] = {}
        for batch in held:
            envelopes = next(stored) if batch.entries else []
            for write in batch.writes:
                write(envelopes)
            results[id(batch)] = envelopes
        return [results.get(id(batch)) for batch in batches]

    @transaction.atomic
    def _store_unless_stored(self, batches: list[_Batch]) -> list[list[Envelope] | None]:
        """Store what an earlier try did not: it may be that only its answer was lost."""
        # Behind these locks a commit that is still under way has come to its end.
        leases.still_held([batch.buffer.place for batch in batches], worker=self._worker)
        found = [_find_stored(batch) for batch in batches]
        return found if any(found) else self._store(batches)

    async def _publish_all(self) -> None:
        while True:
            fresh = await self._to_publish.get()
            # Where Redis is slow, what waits goes together: the delay stays one round trip.
            while not self._to_publish.empty():
                fresh += self._to_publish.get_nowait()
            await broadcast.publish(*fresh)


def _find_stored(batch: _Batch) -> list[Envelope] | None:
    """Find a batch's events in the log; None when others stand in their place."""
    place = batch.buffer.place
    happened = event_log.read_run(
        session_pk=place.session_pk,
        session_id=place.session_id,
        run_id=place.run_id,
        after=batch.buffer.last_seq,
    )
    bodies = [entry.event.model_dump_json() for entry in batch.entries]
    ours = [e for e in happened if e.attempt == place.attempt][: len(bodies)]
    return ours if [e.body for e in ours] == bodies else None


def _settle(batch: _Batch, error: Exception | None) -> None:
    if error:
        batch.buffer.fail(error)
    elif not batch.done.done():
        batch.done.set_result(None)
