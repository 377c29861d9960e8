"""Everybody who follows a session in this process: one channel of the layer in, queues out.

`follow` joins the log and the live stream: it subscribes first, reads the log, then drains its
queue, and reads the log again whenever something is missing. Each reader gets each event once and
in order, also when the layer loses messages, is slow, or is not there at all.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer

from chat import broadcast, counters, database, event_log
from chat.event_log import SessionGone
from chat.events import Envelope, merge_envelopes

logger = logging.getLogger(__name__)

#: What may wait for one reader; beyond either, he reads the log instead.
QUEUE_EVENTS = 1000
QUEUE_CHARACTERS = 256 * 1024
#: Behind at two comparisons in a row is behind: at most twice as long until it is healed.
COMPARE_EVERY_S = 0.9
RETRY_S = 1.0


@dataclass(slots=True, eq=False)
class Subscription:
    """One reader's queue; when it overflows it is forgotten and the log is read instead."""

    session_pk: int
    position: int = 0
    _queue: list[Envelope] = field(default_factory=list)
    _characters: int = 0
    _is_gone: bool = False
    _is_stale: bool = False
    _something: asyncio.Event = field(default_factory=asyncio.Event)
    _compared_at: int = -1

    def offer(self, envelopes: Sequence[Envelope]) -> None:
        """Queue fresh events without waiting."""
        if self._is_stale:
            return
        self._queue.extend(envelopes)
        self._characters += sum(len(envelope.body) for envelope in envelopes)
        if len(self._queue) > QUEUE_EVENTS or self._characters > QUEUE_CHARACTERS:
            self.mark_stale()
        self._something.set()

    def mark_stale(self) -> None:
        """Forget the queue: the reader goes back to the log."""
        counters.add("log_rereads")
        self._empty()
        self._is_stale = True
        self._something.set()

    def end(self) -> None:
        """Tell the reader that the session is gone."""
        self._is_gone = True
        self._something.set()

    async def take(self) -> list[Envelope] | None:
        """Wait for events and take them all; None tells the reader to read the log.

        Raises SessionGone.
        """
        await self._something.wait()
        if self._is_gone:
            raise SessionGone
        self._something.clear()
        if self._is_stale:
            self._is_stale = False
            return None
        return self._empty()

    def _empty(self) -> list[Envelope]:
        taken, self._queue, self._characters = self._queue, [], 0
        return taken

    def compare(self, last_seq: int) -> None:
        """Go back to the log when it is ahead and nothing has come since the last comparison."""
        is_behind = self.position < last_seq and not self._queue
        if is_behind and self._compared_at == self.position:
            self.mark_stale()
        self._compared_at = self.position


class Hub:
    """The subscriptions of one process and its one channel of the layer."""

    def __init__(self) -> None:
        self._subscriptions: dict[int, set[Subscription]] = {}
        self._keepers: list[asyncio.Task[None]] = []

    def subscribe(self, session_pk: int, *, after: int) -> Subscription:
        """Start to queue a session's events; without the layer they are found by comparing."""
        if not self._keepers:
            loop = asyncio.get_running_loop()
            keepers = (self._receive_forever, self._compare_forever)
            self._keepers = [loop.create_task(keeper()) for keeper in keepers]
        subscription = Subscription(session_pk, after)
        self._subscriptions.setdefault(session_pk, set()).add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop queueing."""
        readers = self._subscriptions[subscription.session_pk]
        readers.discard(subscription)
        if not readers:
            del self._subscriptions[subscription.session_pk]

    async def _receive_forever(self) -> None:
        layer = get_channel_layer()
        while True:
            try:
                channel = await broadcast.join(broadcast.EVENTS_GROUP)
                self._mark_all_stale()
                while True:
                    self._distribute(await layer.receive(channel))
            except Exception as error:  # noqa: BLE001 - whatever Redis does, receive again
                broadcast.failures.add(error)
                await asyncio.sleep(RETRY_S)

    def _mark_all_stale(self) -> None:
        """What happened before the channel was there is in the log."""
        for readers in self._subscriptions.values():
            for subscription in readers:
                subscription.mark_stale()

    def _distribute(self, message: dict[str, Any]) -> None:
        try:
            for session_pk, packed in message.get("sessions", ()):
                readers = self._subscriptions.get(session_pk)
                if readers:
                    envelopes = broadcast.unpack(packed)
                    for subscription in readers:
                        subscription.offer(envelopes)
        except (TypeError, ValueError):
            # Of another version, in the middle of a deployment: the log has what it says.
            logger.warning("A message of the channel layer cannot be read")

    async def _compare_forever(self) -> None:
        """Find what the layer lost: also a last message that no later one betrays."""
        while True:
            await asyncio.sleep(COMPARE_EVERY_S)
            try:
                await self._compare()
            except Exception:
                logger.exception("The log cannot be compared with what was delivered")

    async def _compare(self) -> None:
        if not self._subscriptions:
            return
        asked = list(self._subscriptions)
        last = await database.read(event_log.last_seqs, asked)
        # A session that somebody has come to meanwhile was not asked for.
        for session_pk in asked:
            for subscription in self._subscriptions.get(session_pk, ()):
                if session_pk in last:
                    subscription.compare(last[session_pk])
                else:
                    subscription.end()


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


async def follow(*, session_pk: int, session_id: str, after: int) -> AsyncIterator[list[Envelope]]:
    """Give all events after `after`, those that are stored and then those that happen, for ever.

    A reader that falls behind gets neighbouring deltas joined. An empty list says that all that
    is stored has been given. Raises SessionGone or PositionLost.
    """
    hub = _hubs.setdefault(asyncio.get_running_loop(), Hub())
    subscription = hub.subscribe(session_pk, after=after)
    try:
        while True:
            async for page in _stored(session_id, subscription):
                yield page
            yield []
            async for fresh in _live(subscription):
                yield fresh
    finally:
        hub.unsubscribe(subscription)


async def _stored(session_id: str, subscription: Subscription) -> AsyncIterator[list[Envelope]]:
    while True:
        page = await database.patiently(
            event_log.read_page,
            session_pk=subscription.session_pk,
            session_id=session_id,
            after=subscription.position,
        )
        if page.envelopes:
            subscription.position = page.envelopes[-1].seq
            yield merge_envelopes(page.envelopes)
        if page.is_last:
            return


async def _live(subscription: Subscription) -> AsyncIterator[list[Envelope]]:
    """Give what is queued as long as it follows without a gap."""
    while (taken := await subscription.take()) is not None:
        fresh = [envelope for envelope in taken if envelope.seq > subscription.position]
        if not fresh:
            continue
        if fresh[-1].seq - subscription.position != len(fresh):
            return
        subscription.position = fresh[-1].seq
        yield merge_envelopes(fresh)
