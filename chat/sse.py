"""Native SSE by django-eventstream's contract: its request, channels, storage and encoder.

Its own stream() is not used: it binds a thread and a database connection per client, skips lost
events and stays dead after an outage of Redis. Ours follows the log through the hub.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from typing import Any
from urllib.parse import unquote

from django.http import HttpRequest, QueryDict
from django_eventstream.channelmanager import ChannelManagerBase
from django_eventstream.event import Event as StreamEvent
from django_eventstream.eventrequest import EventRequest
from django_eventstream.storage import EventDoesNotExist, StorageBase
from django_eventstream.utils import make_id, parse_last_event_id, sse_encode_event

from chat import counters, draining, event_log, positions, principals, sessions
from chat.events import Envelope
from chat.models import ChatSession
from chat.pacing import End, paced
from chat.positions import Position
from chat.principals import Principal
from chat.reading import Reading
from chat.wire import native

KEEP_ALIVE_S = 20.0
#: Some proxies hold back the first kilobytes of a response.
OPENING = ":" + " " * 2048 + "\n\nevent: stream-open\ndata:\n\n"
KEEP_ALIVE = "event: keep-alive\ndata:\n\n"


def channel_of(session: ChatSession) -> str:
    """The name of a session's channel; the epoch in it makes ids of a former log void."""
    return f"{session.session_id}.{session.epoch}"


class SessionChannelManager(ChannelManagerBase):
    """The single point that decides who may read which channel: the owner, his sessions."""

    def get_channels_for_request(
        self, request: HttpRequest, view_kwargs: dict[str, Any]
    ) -> set[str]:
        return {view_kwargs["channel"]}

    def can_read_channel(self, user: Any, channel: str) -> bool:
        principal = principals.of_user(user)
        return principal is not None and _session_of(principal, channel) is not None

    def is_channel_reliable(self, channel: str) -> bool:
        return True


class LogStorage(StorageBase):
    """Reads the event log as django-eventstream's storage; only the committer writes it."""

    def append_event(self, channel: str, event_type: str, data: Any) -> StreamEvent:
        raise NotImplementedError("events are stored with the run that they belong to")

    def get_events(self, channel: str, last_id: int, limit: int = 100) -> list[StreamEvent]:
        session = _any_session_of(channel)
        if not session.floor_seq <= last_id <= session.last_seq:
            raise EventDoesNotExist(f"No such event {last_id}", session.last_seq)
        found = event_log.read(
            session_pk=session.pk, session_id=session.session_id, after=last_id, limit=limit
        )
        return [StreamEvent(channel, e.type, json.loads(native.encode(e)), id=e.seq) for e in found]

    def get_current_id(self, channel: str) -> int:
        return _any_session_of(channel).last_seq


def requested_position(request: HttpRequest, session: ChatSession) -> Position | None:
    """Where a client wants to go on: Last-Event-ID, lastEventId, ?after=; None for from now on.

    Raises positions.InvalidPosition.
    """
    # The rest of what it reads from the query is for a proxy of its own, and can crash it.
    query: Any = request.GET
    ids = query.getlist("lastEventId")
    kept: Any = QueryDict(mutable=True)
    kept.setlist("lastEventId", ids)
    request.GET = kept
    channel = channel_of(session)
    try:
        wanted = EventRequest(request, view_kwargs={"channel": channel})
    except EventRequest.Error as error:
        raise positions.InvalidPosition(str(error)) from error
    if wanted.channel_last_ids:
        seq = positions.parse(wanted.channel_last_ids[channel]).seq
        return Position(seq, session.epoch)
    if named := request.headers.get("Last-Event-ID") or next(filter(None, ids), None):
        return _elsewhere(named, session)
    after = query.get("after")
    return None if after is None else positions.parse(after)


async def stream(reading: Reading, *ends: End) -> AsyncIterator[str]:
    """Give the events of a session as SSE text, with keep-alives, until the client leaves.

    It ends by itself when one of `ends` does, when the session is deleted, or with this process,
    and then tells the client when to connect again.
    """
    yield OPENING
    channel = channel_of(reading.session)
    if reading.snapshot:
        lost = {"channels": [channel], **reading.snapshot}
        place = make_id({channel: reading.after})
        yield sse_encode_event("stream-reset", lost, event_id=place, json_encode=True)
    seq = reading.after
    pages = reading.follow()
    coming = paced(pages, [*ends, draining.turn], silence_s=KEEP_ALIVE_S)
    with counters.during("event_streams"), suppress(event_log.SessionGone, event_log.PositionLost):
        async with aclosing(pages), aclosing(coming):  # type: ignore[type-var]
            async for envelopes in coming:
                if envelopes is None:
                    yield KEEP_ALIVE
                seq = envelopes[-1].seq if envelopes else seq
                # One after another: a client that does not read would hold all as text too.
                for event in _encoded(envelopes or [], channel, is_batch=reading.batch_s > 0):
                    yield event
                if envelopes == [] and reading.tells_caught_up:
                    yield _caught_up(reading, seq)
    if draining.has_begun():
        yield f"retry: {draining.retry_ms()}\n\n"


def _encoded(envelopes: list[Envelope], channel: str, *, is_batch: bool) -> Iterator[str]:
    if is_batch and envelopes:
        place = make_id({channel: envelopes[-1].seq})
        yield sse_encode_event("batch", native.encode_batch(envelopes), event_id=place)
        return
    for envelope in envelopes:
        place = make_id({channel: envelope.seq})
        yield sse_encode_event(envelope.type, native.encode(envelope), event_id=place)


def _caught_up(reading: Reading, seq: int) -> str:
    # Without an id: it is no event of the log.
    said = native.encode_caught_up(epoch=reading.session.epoch, seq=seq)
    text: str = sse_encode_event("caught-up", said)
    return text


def _elsewhere(named: str, session: ChatSession) -> Position:
    """A position that is not in the session's log: in a former one of it, or in another's."""
    channels = (unquote(channel) for channel in parse_last_event_id(named))
    of_session = (c.rpartition(".") for c in channels)
    epochs = [epoch for session_id, _, epoch in of_session if session_id == session.session_id]
    return Position(0, epochs[0]) if epochs else Position(0, is_foreign=True)


def _session_of(principal: Principal, channel: str) -> ChatSession | None:
    session_id, _, epoch = channel.rpartition(".")
    try:
        session = sessions.get_for(principal, session_id)
    except sessions.UnknownSession:
        return None
    return session if session.epoch == epoch else None


def _any_session_of(channel: str) -> ChatSession:
    session_id, _, epoch = channel.rpartition(".")
    found = sessions.of_channel(session_id=session_id, epoch=epoch)
    if found is None:
        raise EventDoesNotExist(f"No such channel {channel!r}", 0)
    return found
