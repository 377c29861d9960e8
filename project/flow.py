"""How fast one connection goes: its application waits for its client, and the other way round.

`Gate` is the way out, `Inbox` the way in.
"""

import asyncio
import fcntl
import struct
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import implementer

#: A client that takes nothing for so long is dropped.
STALL_LIMIT_S = 5.0
LOOK_EVERY_S = 0.25
#: Twisted's buffer for one connection is full beyond this; the kernel's comes on top of it.
BUFFER_BYTES = 16 * 1024
#: An application has at most so many messages waiting; reading goes on at half of them.
MAX_WAITING = 100


def innermost(transport: Any) -> Any:
    """Find the transport that has the socket: TLS is a protocol around it."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def pending_bytes(transport: Any) -> int:
    """Count what was sent and the client has not taken yet, in Twisted's buffer and the kernel's.

    Twisted's alone would not tell a slow client from a stalled one: the kernel asks for more only
    when a third of its own buffer, which may be megabytes, is free again.
    """
    transport = innermost(transport)
    buffered = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    return int(buffered) + _pending_in_kernel(transport)


def _pending_in_kernel(transport: Any) -> int:
    if sys.platform != "linux" or not transport.connected:
        return 0
    try:
        # Of a socket it tells what the other side has not acknowledged: tcp(7), SIOCOUTQ.
        answer = fcntl.ioctl(transport.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):
        return 0  # closed meanwhile
    return int(struct.unpack("i", answer)[0])


@implementer(IPushProducer)
class Gate:
    """Closed while the connection's buffer is full."""

    def __init__(self, transport: Any) -> None:
        self._transport = innermost(transport)
        self._transport.bufferSize = BUFFER_BYTES
        self._open = asyncio.Event()
        self._open.set()
        self._pending_bytes = 0
        self._progress_at = 0.0

    def pauseProducing(self) -> None:
        if self._open.is_set():
            self._open.clear()
            self._pending_bytes = pending_bytes(self._transport)
            self._progress_at = time.monotonic()

    def resumeProducing(self) -> None:
        self._open.set()

    def stopProducing(self) -> None:
        self._open.set()

    async def passed(self) -> bool:
        """Wait until the client has taken what was sent; False when it takes nothing."""
        while not self._open.is_set() and self._transport.connected:
            if self._is_stalled():
                return False
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._open.wait()
            except TimeoutError:
                continue
        return True

    def _is_stalled(self) -> bool:
        pending, before = pending_bytes(self._transport), self._pending_bytes
        # It may also grow: a pong is sent whether the gate is open or not.
        self._pending_bytes = pending
        if pending < before:
            self._progress_at = time.monotonic()
        return time.monotonic() - self._progress_at > STALL_LIMIT_S


class Inbox(asyncio.Queue[dict[str, Any]]):
    """What an application has not taken yet; a full one stops the reading from its connection."""

    def __init__(self, *, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        super().__init__()
        self._pause = pause
        self._resume = resume
        self.is_full = False

    def put_nowait(self, message: dict[str, Any]) -> None:
        super().put_nowait(message)
        if not self.is_full and self.qsize() >= MAX_WAITING:
            self.is_full = True
            self._pause()

    def get_nowait(self) -> dict[str, Any]:
        message = super().get_nowait()
        if self.is_full and self.qsize() <= MAX_WAITING // 2:
            self.is_full = False
            # Not from within the application, which is in the middle of something.
            asyncio.get_running_loop().call_soon(self._resume)
        return message
