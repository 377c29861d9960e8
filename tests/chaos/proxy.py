"""A TCP link that fails when it is told to: late, silent, cut, reset, refused, deaf to one answer.

`up` is from the client to the server, `down` the way back.
"""

import asyncio
import random
import socket
import struct
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.chaos.loops import LoopThread

Direction = Literal["up", "down"]
BOTH: tuple[Direction, ...] = ("up", "down")
#: A host and a port, or the path of a Unix socket.
Address = tuple[str, int] | Path


@dataclass(slots=True)
class Weather:
    """How the link behaves at the moment."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    stalled: tuple[Direction, ...] = ()
    #: How many more bytes pass before every connection is reset.
    bytes_left: int | None = None
    #: The answers to the next requests that contain these bytes are lost with their connection.
    unanswered: bytes = b""
    unanswered_times: int = 0


class Proxy:
    """Listens on a port of its own and passes everything on to `upstream`."""

    def __init__(self, upstream: Address, *, thread: LoopThread) -> None:
        self.upstream = upstream
        self.weather = Weather()
        self.links: set[Link] = set()
        self.lost_answers = 0
        self._thread = thread
        self._server: asyncio.Server | None = None
        self.port = 0
        thread.run(self._listen())

    def heal(self) -> None:
        """Be a good link again; what was held back is passed on."""
        self._thread.run(self._heal())

    def delay(self, latency_s: float, *, jitter_s: float = 0.0) -> None:
        """Make every piece of data late, without reordering."""
        self.weather = Weather(latency_s=latency_s, jitter_s=jitter_s)

    def stall(self, *directions: Direction) -> None:
        """Pass nothing on and say nothing, as a broken network does."""
        self.weather = Weather(stalled=directions or BOTH)

    def cut_after(self, count: int) -> None:
        """Pass so many bytes more and then reset all connections."""
        self.weather = Weather(bytes_left=count)

    def lose_answers(self, request: bytes, *, times: int) -> None:
        """Let requests that contain these bytes arrive, and reset instead of their answer."""
        self.weather = Weather(unanswered=request, unanswered_times=times)

    def refuse(self) -> None:
        """Reset every connection and refuse new ones."""
        self._thread.run(self._refuse())

    def reset(self) -> int:
        """Reset every connection that is open; says how many."""
        return self._thread.run(self._reset())

    def close(self) -> None:
        """End the link."""
        self.refuse()

    async def _listen(self) -> None:
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: Link(self).client, "127.0.0.1", self.port, backlog=1024
            )
            self.port = self._server.sockets[0].getsockname()[1]

    async def _heal(self) -> None:
        self.weather = Weather()
        await self._listen()
        for link in list(self.links):
            if link.server.transport:
                link.release()

    async def _refuse(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> int:
        links = list(self.links)
        for link in links:
            link.reset()
        return len(links)


class Link:
    """One connection through a proxy: its two ends, and what is held back between them."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.client = _End(self, "up")
        self.server = _End(self, "down")
        self._held: dict[Direction, list[bytes]] = defaultdict(list)
        self._due_at: dict[Direction, float] = defaultdict(float)
        self._is_unanswered = False
        #: From when on data is passed on at once; what came earlier is passed on first.
        self._is_open = False

    async def open(self) -> None:
        """Connect to the server; the client's connection is closed when there is none."""
        loop, upstream = asyncio.get_running_loop(), self.proxy.upstream
        self.proxy.links.add(self)
        try:
            if isinstance(upstream, Path):
                await loop.create_unix_connection(lambda: self.server, str(upstream))
            else:
                await loop.create_connection(lambda: self.server, *upstream)
        except OSError:
            self.reset()
        else:
            self.release()

    def carry(self, direction: Direction, data: bytes) -> None:
        """Pass data on as the weather has it."""
        weather = self.proxy.weather
        if self._loses_answer(direction, data):
            self.proxy.lost_answers += 1
            self.reset()
        elif direction in weather.stalled or not self._is_open:
            self._held[direction].append(data)
        elif weather.bytes_left is not None:
            self._carry_some(direction, data)
        elif weather.latency_s:
            self._carry_late(direction, data)
        else:
            self.pass_on(direction, data)

    def pass_on(self, direction: Direction, data: bytes) -> None:
        target = self.server if direction == "up" else self.client
        if target.transport and not target.transport.is_closing():
            target.transport.write(data)

    def release(self) -> None:
        """Pass on what was held back."""
        self._is_open = True
        for direction in BOTH:
            if direction not in self.proxy.weather.stalled:
                held, self._held[direction] = self._held[direction], []
                for data in held:
                    self.pass_on(direction, data)
        if len(self.open_ends()) < 2 and not self.proxy.weather.stalled:
            self.close()

    def close(self) -> None:
        """End both sides after what they were sent."""
        for end in self.open_ends():
            end.close()

    def reset(self) -> None:
        """End both sides with a TCP reset."""
        for end in self.open_ends():
            sock: socket.socket = end.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.abort()

    def open_ends(self) -> list[asyncio.Transport]:
        return [end.transport for end in (self.client, self.server) if end.transport]

    def lost(self) -> None:
        """Close the other side of one that was lost; forget what has no side left."""
        if not self.open_ends():
            self.proxy.links.discard(self)
        elif not self.proxy.weather.stalled:
            # While the link is silent a peer that left is not told: so are broken networks.
            self.close()

    def _loses_answer(self, direction: Direction, data: bytes) -> bool:
        weather = self.proxy.weather
        if direction == "down":
            return self._is_unanswered
        if weather.unanswered_times > 0 and weather.unanswered in data:
            weather.unanswered_times -= 1
            self._is_unanswered = True
        return False

    def _carry_some(self, direction: Direction, data: bytes) -> None:
        weather = self.proxy.weather
        assert weather.bytes_left is not None
        self.pass_on(direction, data[: weather.bytes_left])
        weather.bytes_left -= len(data)
        if weather.bytes_left <= 0:
            weather.bytes_left = 0
            # What was passed on leaves first.
            asyncio.get_running_loop().call_later(0.02, self.reset)

    def _carry_late(self, direction: Direction, data: bytes) -> None:
        loop, weather = asyncio.get_running_loop(), self.proxy.weather
        late_s = weather.latency_s + random.uniform(0, weather.jitter_s)
        self._due_at[direction] = max(loop.time() + late_s, self._due_at[direction])
        loop.call_at(self._due_at[direction], self.pass_on, direction, data)


@dataclass(slots=True, eq=False)
class _End(asyncio.Protocol):
    """One side of a link; `direction` is where its data goes."""

    link: Link
    direction: Direction
    transport: asyncio.Transport | None = None
    _opening: "asyncio.Task[None] | None" = field(default=None)

    @property
    def other(self) -> "_End":
        return self.link.server if self.direction == "up" else self.link.client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.direction == "up":
            self._opening = asyncio.get_running_loop().create_task(self.link.open())

    def data_received(self, data: bytes) -> None:
        self.link.carry(self.direction, data)

    def pause_writing(self) -> None:
        if self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.transport and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self.link.lost()
