"""What travels over the channel layer: fresh events to web processes, cancels to workers.

Nothing here is needed for correctness. A message that is lost costs at most the time until the
log or the lease is looked at again, so every failure is counted and none is raised.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Coroutine, Sequence
from typing import Any

import redis.asyncio
from channels.layers import get_channel_layer
from django.conf import settings
from redis.exceptions import RedisError

from chat import counters, stream_log
from chat.events import Envelope

logger = logging.getLogger(__name__)

EVENTS_GROUP = "chatledger.events"
WORKERS_GROUP = "chatledger.workers"
SEND_TIMEOUT_S = 1.0
#: So long a request waits for the layer; the sending goes on without it.
PATIENCE_S = 0.1
LOG_EVERY_S = 10.0

#: A session's key and its events that have just been committed.
Fresh = tuple[int, Sequence[Envelope]]


class _Failures:
    """Counts lost messages and says so in the log now and then."""

    def __init__(self) -> None:
        self.count = 0
        self._logged_at = 0.0

    def add(self, error: BaseException) -> None:
        self.count += 1
        counters.add("layer_messages_lost")
        if time.monotonic() - self._logged_at > LOG_EVERY_S:
            self._logged_at = time.monotonic()
            logger.warning(
                "The channel layer takes no messages (%s lost so far): %r", self.count, error
            )


failures = _Failures()
_sending: set[asyncio.Future[None]] = set()


async def publish(*fresh: Fresh) -> None:
    """Tell all web processes about events that are in the log now.

    One message for all sessions: decoding what nobody here follows costs a process far less than
    a message for each session costs everybody.
    """
    for _, envelopes in fresh:
        stream_log.note_events(envelopes)
    packed = [[session_pk, [_pack(e) for e in envelopes]] for session_pk, envelopes in fresh]
    await _send(EVENTS_GROUP, {"type": "events", "sessions": packed})


async def join(group: str) -> str:
    """Open a channel that hears a group. Raises whatever Redis does.

    A channel that could not be subscribed would stay in the layer for ever, so it is made only
    when Redis has just answered.
    """
    layer = get_channel_layer()
    await layer.group_send(group, {"type": "joining"})
    channel: str = await layer.new_channel()
    await layer.group_add(group, channel)
    return channel


async def send_soon(sending: Coroutine[Any, Any, None]) -> None:
    """Start to send, and do not let a request wait for a layer that does not answer."""
    task = asyncio.ensure_future(sending)
    _sending.add(task)
    task.add_done_callback(_sending.discard)
    await asyncio.wait({task}, timeout=PATIENCE_S)


async def cancel(run_id: uuid.UUID, reason: str) -> None:
    """Ask whichever worker executes the run to stop it at once."""
    await _send(WORKERS_GROUP, {"type": "cancel", "run_id": str(run_id), "reason": reason})


async def warn_of_eviction() -> None:
    """Say in the log when Redis may throw away what it was given, bells among it."""
    client = redis.asyncio.from_url(settings.ENV.redis_url, socket_timeout=SEND_TIMEOUT_S)
    try:
        policy = (await client.config_get("maxmemory-policy")).get("maxmemory-policy")
    except (RedisError, RuntimeError):
        return  # away, dying (uvloop's error is no OSError), or a service that does not tell
    finally:
        with contextlib.suppress(RuntimeError):
            await client.aclose()
    if policy not in (None, "noeviction"):
        logger.warning("Redis evicts keys (maxmemory-policy %s); set noeviction", policy)


def unpack(packed: Sequence[Sequence[Any]]) -> list[Envelope]:
    """Read a session's envelopes from a message made by `publish`."""
    return [
        Envelope(
            seq=seq,
            session_id=session_id,
            run_id=run_id,
            attempt=attempt,
            at=at,
            type=kind,
            body=body,
        )
        for seq, session_id, run_id, attempt, at, kind, body in packed
    ]


def _pack(e: Envelope) -> list[Any]:
    return [e.seq, e.session_id, e.run_id, e.attempt, e.at, e.type, e.body]


async def _send(group: str, message: dict[str, Any]) -> None:
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await get_channel_layer().group_send(group, message)
    except Exception as error:  # noqa: BLE001 - whatever Redis does must not stop a run
        failures.add(error)
