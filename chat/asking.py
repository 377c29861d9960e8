"""Ask, and be told the answer, in one connection: how the older systems' clients talk.

A client that was cut off names the last thing it was told, `<run_id>:<seq>.<n>`: the n-th frame
that its dialect makes of that event. It is told what follows, and never causes a second run.
"""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass

from chat import attendance, database, draining, event_log, pacing, reading, runs, sessions
from chat.agent import catalog
from chat.agent.errors import AgentError
from chat.commands import IfRunning, SendMessage
from chat.events import Envelope, TextDelta, merge_envelopes
from chat.models import ChatSession, Run
from chat.pacing import End
from chat.positions import Position
from chat.principals import EVERYBODY, Principal
from chat.reading import Reading
from chat.wire.frames import Encoder, Frame

#: Some clients give up when they hear nothing for 5 s.
SILENCE_S = 4.0
BUFFER_S = 1.0

_ID = re.compile(
    r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([0-9]{1,18})\.([0-9]{1,4})", re.ASCII
)
#: What a client's wish may be answered with instead of a run.
REFUSED = (
    runs.Refused,
    sessions.UnknownSession,
    sessions.InvalidSessionId,
    AgentError,
    reading.TooManyConnections,
)
#: Kept, since a loop keeps none of its tasks.
_leaving: set[asyncio.Task[None]] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A frame, and what a client names that wants to go on after it."""

    frame: Frame
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A run that a client waits for."""

    run_id: uuid.UUID
    reading: Reading
    #: What is to be told before anything else.
    rest: tuple[Told, ...] = ()

    @property
    def session(self) -> ChatSession:
        return self.reading.session

    @property
    def id(self) -> str:
        """Where the client is before it is told anything."""
        return f"{self.run_id}:{self.reading.after}.0"


async def session_for(
    principal: Principal, session_id: str | None, *, default: str = "default"
) -> ChatSession:
    """Find or create the session that a client means.

    Who says neither which session nor who he is gets one of his own. Raises InvalidSessionId.
    """
    if not session_id and principal != EVERYBODY:
        session_id = default
    return await database.write(_found_or_made, principal, session_id)


async def ask(
    principal: Principal, session: ChatSession, text: str, *, if_running: IfRunning = "enqueue"
) -> Asked:
    """Send a message, as one whose run is stopped when nobody waits for its answer.

    Raises what is REFUSED.
    """
    model = catalog.choose(session.model)
    begun = await database.read(reading.begin, session, wanted=None, tells_caught_up=False)
    command = SendMessage(text=text, if_running=if_running)
    started = await runs.start(
        session, command, model=model, api_key=principal.api_key, is_attended=True
    )
    return Asked(run_id=started.run_id, reading=begun)


def come_back(principal: Principal, last_id: str, encoder: Encoder) -> Asked | None:
    """Find where a client was that names the last thing it was told, and bring its encoder there.

    None when there is nothing more to tell: then it has to stop asking. Raises
    TooManyConnections.
    """
    named = _ID.fullmatch(last_id)
    if not named:
        return None
    try:
        run = runs.get_for(principal, named[1])
    except runs.UnknownRun:
        return None
    seq, count = int(named[2]), int(named[3])
    begun = reading.begin(run.session, wanted=Position(seq), tells_caught_up=False)
    if begun.snapshot:
        return None
    rest = _rest(run, seq, count, encoder) if count else ()
    return None if encoder.is_over else Asked(run_id=run.pk, reading=begun, rest=rest)


def join(session: ChatSession, encoder: Encoder) -> Asked | None:
    """Find what the session is answering for one like this client; it is told from now on."""
    run = session.runs.filter(status__in=Run.ACTIVE, attendant__isnull=False).first()
    if run is None:
        return None
    begun = reading.begin(session, wanted=None, tells_caught_up=False)
    _rest(run, begun.after, 0, encoder)
    return Asked(run_id=run.pk, reading=begun)


async def tell(
    asked: Asked, encoder: Encoder, *ends: End, buffer_size: int = 1
) -> AsyncIterator[Told | None]:
    """Tell the run until it has ended; None where there was nothing to tell for SILENCE_S.

    The run is attended meanwhile. It also ends when one of `ends` does, or with this process.
    `buffer_size` tokens are told at once, or as many as there are after BUFFER_S.
    """
    attendant = await database.write(attendance.attend, asked.run_id)
    has_ended = False
    try:
        for told in asked.rest:
            yield told
        pages = _of_run(asked) if buffer_size == 1 else _buffered(asked, buffer_size)
        coming = pacing.paced(pages, [*ends, draining.turn], silence_s=SILENCE_S)
        with suppress(event_log.SessionGone, event_log.PositionLost):
            async with aclosing(pages), aclosing(coming):  # type: ignore[type-var]
                async for envelopes in coming:
                    if envelopes is None:
                        yield None
                    for envelope in envelopes or ():
                        has_ended = envelope.is_terminal
                        for told in _frames(envelope, encoder):
                            yield told
                        if encoder.is_over:
                            return
    finally:
        if not has_ended:
            # The client may be gone, and this task with it, before the database has answered.
            leaving = asyncio.create_task(database.write(attendance.leave, asked.run_id, attendant))
            _leaving.add(leaving)
            leaving.add_done_callback(_leaving.discard)


def _found_or_made(principal: Principal, session_id: str | None) -> ChatSession:
    if session_id:
        with suppress(sessions.UnknownSession):
            return sessions.get_for(principal, session_id)
    return sessions.create(principal, session_id=session_id or None)[0]


def _rest(run: Run, seq: int, count: int, encoder: Encoder) -> tuple[Told, ...]:
    """What the event `seq` makes after `count` frames."""
    told: list[Told] = []
    log = event_log.read_run(
        session_pk=run.session_id, session_id=run.session.session_id, run_id=run.pk, up_to=seq
    )
    for envelope in log:
        told = _frames(envelope, encoder)
    return tuple(told[count:])


async def _of_run(asked: Asked) -> AsyncIterator[list[Envelope]]:
    run_id = str(asked.run_id)
    following = asked.reading.follow()
    async with aclosing(following):  # type: ignore[type-var]
        async for envelopes in following:
            mine = [envelope for envelope in envelopes if envelope.run_id == run_id]
            if mine:
                yield mine


async def _buffered(asked: Asked, size: int) -> AsyncIterator[list[Envelope]]:
    told_tokens = 0

    def is_due(waiting: list[Envelope]) -> bool:
        nonlocal told_tokens
        newest = waiting[-1].event
        if isinstance(newest, TextDelta):
            if newest.tokens - told_tokens < size:
                return False
            told_tokens = newest.tokens
        return True

    pages = _of_run(asked)
    batches = pacing.batched(pages, wait_s=BUFFER_S, is_due=is_due)
    async with aclosing(pages), aclosing(batches):  # type: ignore[type-var]
        async for envelopes in batches:
            yield merge_envelopes(envelopes)


def _frames(envelope: Envelope, encoder: Encoder) -> list[Told]:
    return [
        Told(frame=frame, id=f"{envelope.run_id}:{envelope.seq}.{count}")
        for count, frame in enumerate(encoder.encode(envelope), start=1)
    ]
