"""How a client begins to read a session and why it has to stop, on any transport."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from chat import counters, database, hub, pacing, positions, principals, sessions
from chat.events import Envelope, merge_envelopes
from chat.models import ChatSession
from chat.positions import Position
from chat.principals import EVERYBODY, Login
from chat.schemas import Snapshot

SNAPSHOT_MESSAGES = 20
CHECK_LOGIN_EVERY_S = 20.0
#: A batch that is so long is given before its time; clients read frames of 128 KiB.
BATCH_CHARACTERS = 16 * 1024
LONGEST_BATCH_MS = 10_000

#: How many streams of each owner are open in this process.
_connections: Counter[str] = Counter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a client is given: perhaps a snapshot, then all events after a position."""

    session: ChatSession
    after: int
    #: For a client that has lost its place: what there is, as schemas.Snapshot says it.
    snapshot: dict[str, Any] | None
    #: Whether the client wants to be told each time it has all that is stored.
    tells_caught_up: bool
    #: Events of so many seconds are given together; with 0, each as it comes.
    batch_s: float = 0

    async def follow(self) -> AsyncIterator[list[Envelope]]:
        """Give the session's events as `hub.follow` does, and count the connection meanwhile."""
        owner_key = self.session.owner_key
        following = hub.follow(
            session_pk=self.session.pk, session_id=self.session.session_id, after=self.after
        )
        _connections[owner_key] += 1
        try:
            async with contextlib.aclosing(following):  # type: ignore[type-var]
                async for envelopes in self._batched(following) if self.batch_s else following:
                    counters.add("events_told", len(envelopes))
                    yield envelopes
        finally:
            _connections[owner_key] -= 1
            if not _connections[owner_key]:
                del _connections[owner_key]

    async def _batched(
        self, following: AsyncIterator[list[Envelope]]
    ) -> AsyncIterator[list[Envelope]]:
        batches = pacing.batched(following, wait_s=self.batch_s, is_due=_is_due)
        async with contextlib.aclosing(batches):  # type: ignore[type-var]
            async for envelopes in batches:
                yield merge_envelopes(envelopes)


class TooManyConnections(Exception):
    """Too many connections of this user are open. Close one first."""

    def __str__(self) -> str:
        return self.__doc__ or ""


class InvalidBatch(Exception):
    """batch_ms is a whole number from 1 to 10000."""

    def __str__(self) -> str:
        return self.__doc__ or ""


def batch_s(text: str | None) -> float:
    """Read for how long a client wants events to be collected. Raises InvalidBatch."""
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        raise InvalidBatch
    if not 1 <= int(text) <= LONGEST_BATCH_MS:
        raise InvalidBatch
    return int(text) / 1000


def begin(
    session: ChatSession, *, wanted: Position | None, tells_caught_up: bool, batch_s: float = 0
) -> Reading:
    """Find where to begin in a session that its owner asks for. Raises TooManyConnections."""
    limit, owner_key = settings.ENV.max_connections_per_user, session.owner_key
    if owner_key != EVERYBODY.owner_key and _connections[owner_key] >= limit:
        raise TooManyConnections
    start = positions.start(session, wanted=wanted)
    return Reading(
        session=session,
        after=start.after,
        snapshot=_snapshot(session, start) if start.reset else None,
        tells_caught_up=tells_caught_up,
        batch_s=batch_s,
    )


async def logged_out(login: Login) -> None:
    """Wait until the login that a connection was opened with does not stand any more."""
    while True:
        await asyncio.sleep(CHECK_LOGIN_EVERY_S)
        with contextlib.suppress(*database.Unavailable):
            if not await database.read(principals.is_still, login):
                return


def _is_due(envelopes: list[Envelope]) -> bool:
    size = sum(len(envelope.body) for envelope in envelopes)
    return size > BATCH_CHARACTERS or envelopes[-1].is_terminal


def _snapshot(session: ChatSession, start: positions.Start) -> dict[str, Any]:
    found = sessions.messages_of(session, before=start.after + 1, limit=SNAPSHOT_MESSAGES + 1)
    shown = found[:SNAPSHOT_MESSAGES]
    snapshot = Snapshot.model_validate(
        {
            "reason": start.reset,
            "epoch": session.epoch,
            "after": start.after,
            "messages": shown[::-1],
            "next_before": shown[-1].seq if len(found) > len(shown) else None,
        }
    )
    return snapshot.model_dump(mode="json")
