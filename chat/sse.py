"""Native SSE by django-eventstream's contract: its request, channels, storage and encoder.

Its own stream() is not used: it binds a thread and a database connection per client, skips lost
events and stays dead after an outage of Redis. Ours follows the log through the hub.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from django.http import HttpRequest, QueryDict
from django_eventstream.channelmanager import ChannelManagerBase
from django_eventstream.event import Event as StreamEvent
from django_eventstream.eventrequest import EventRequest
from django_eventstream.storage import EventDoesNotExist, StorageBase
from django_eventstream.utils import make_id, sse_encode_event

from chat import event_log, hub, positions, principals, sessions
from chat.models import ChatSession
from chat.positions import Start
from chat.principals import Principal
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


def requested_position(request: HttpRequest, session: ChatSession) -> int | None:
    """Where a client wants to go on: Last-Event-ID, lastEventId, ?after=; None for from now on.

    Raises positions.InvalidPosition. A position in another session's log is none at all.
    """
    # The rest of what it reads from the query is for a proxy of its own, and can crash it.
    query: Any = request.GET
    kept: Any = QueryDict(mutable=True)
    kept.setlist("lastEventId", query.getlist("lastEventId"))
    request.GET = kept
    channel = channel_of(session)
    try:
        wanted = EventRequest(request, view_kwargs={"channel": channel})
    except EventRequest.Error as error:
        raise positions.InvalidPosition(str(error)) from error
    if wanted.channel_last_ids:
        return positions.parse(wanted.channel_last_ids[channel])
    after = query.get("after")
    return None if after is None else positions.parse(after)


async def stream(session: ChatSession, start: Start) -> AsyncIterator[str]:
    """Give the events of a session as SSE text, with keep-alives, until the client leaves."""
    yield OPENING
    channel = channel_of(session)
    if start.reset:
        lost = {"channels": [channel], "reason": start.reset, "after": start.after}
        yield sse_encode_event(
            "stream-reset", lost, event_id=make_id({channel: start.after}), json_encode=True
        )
    following = hub.follow(session_pk=session.pk, session_id=session.session_id, after=start.after)
    async with aclosing(following):  # type: ignore[type-var]
        upcoming: asyncio.Future[Any] | None = None
        try:
            while True:
                upcoming = upcoming or asyncio.ensure_future(anext(following))
                done, _ = await asyncio.wait({upcoming}, timeout=KEEP_ALIVE_S)
                if not done:
                    yield KEEP_ALIVE
                    continue
                envelopes, upcoming = upcoming.result(), None
                yield "".join(
                    sse_encode_event(e.type, native.encode(e), event_id=make_id({channel: e.seq}))
                    for e in envelopes
                )
        finally:
            if upcoming:
                upcoming.cancel()
                await asyncio.gather(upcoming, return_exceptions=True)


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
