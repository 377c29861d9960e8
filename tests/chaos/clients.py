"""Clients as they should be: they connect again where they were, and send until they are acked.

Each keeps its whole history: every event with its time, every connection, every attempt to send.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import uuid4
from weakref import WeakKeyDictionary

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from tests.process.client import is_terminal

Json = dict[str, Any]
#: What a broken or restarting service may do to a client.
BROKEN = (OSError, EOFError, TimeoutError, ConnectionClosed, InvalidHandshake, InvalidMessage)
BROKEN += (httpx.HTTPError,)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0
OPEN_WITHIN_S = 5.0
#: A service that keeps quiet streams alive every 20 s is gone when nothing comes for longer.
SILENCE_S = 25.0
PING_S = 5.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as it arrived."""

    at: float
    connection: int
    event: Json


@dataclass(slots=True)
class Connection:
    """One connection of a follower: from where it read, and how it ended."""

    after: int
    opened_at: float
    closed_at: float | None = None
    why: str = ""


@dataclass(slots=True, kw_only=True)
class Follower:
    """Follows a session from its beginning until it is stopped."""

    transport: ClassVar[str]
    base_url: str
    session_id: str
    #: Leaves and comes back at random, as people do.
    is_restless: bool = False
    frames: list[Frame] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    resets: list[Json] = field(default_factory=list)
    _task: "asyncio.Task[None] | None" = None

    @property
    def events(self) -> list[Json]:
        return [frame.event for frame in self.frames]

    @property
    def position(self) -> int:
        return self.frames[-1].event["seq"] if self.frames else 0

    @property
    def ends(self) -> list[str]:
        """The runs whose end this client was told."""
        return [event["run_id"] for event in self.events if is_terminal(event)]

    @property
    def error(self) -> BaseException | None:
        """What ended this follower and should not have."""
        task = self._task
        return task.exception() if task and task.done() and not task.cancelled() else None

    def start(self) -> None:
        """Follow in a task of the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def stop(self) -> None:
        """Stop following. Raises whatever the follower did not expect."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
            if self.error:
                raise self.error

    async def read(self) -> None:
        """Read one connection until it breaks."""
        raise NotImplementedError

    def take(self, event: Json) -> None:
        if "seq" in event:
            self.frames.append(Frame(time.monotonic(), len(self.connections), event))
        else:
            self.resets.append(event)

    async def _follow(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            connection = Connection(self.position, time.monotonic())
            self.connections.append(connection)
            seen = len(self.frames)
            try:
                async with asyncio.timeout(random.uniform(0.5, 3) if self.is_restless else None):
                    await self.read()
                connection.why = "end"
            except BROKEN as error:
                connection.why = repr(error)[:200]
            connection.closed_at = time.monotonic()
            pause_s = FIRST_PAUSE_S if len(self.frames) > seen else min(2 * pause_s, 1.0)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))


class WebSocketFollower(Follower):
    transport = "WebSocket"

    async def read(self) -> None:
        url = self.base_url.replace("http", "ws", 1)
        url += f"/ws/sessions/{self.session_id}?after={self.position}"
        async with connect(
            url,
            proxy=None,
            compression=None,
            max_size=None,
            max_queue=None,
            open_timeout=OPEN_WITHIN_S,
            close_timeout=0.2,
            ping_interval=PING_S,
            ping_timeout=PING_S,
        ) as socket:
            async for text in socket:
                self.take(json.loads(text))
        raise ConnectionResetError(f"closed with {socket.close_code}")


class SseFollower(Follower):
    transport = "SSE"
    _last_id: str | None = None

    async def read(self) -> None:
        path = f"/api/sessions/{self.session_id}/events"
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        rest = b""
        async with aclosing(body_of(self.base_url, path, headers)) as body:
            async for data in body:
                *blocks, rest = (rest + data).split(b"\n\n")
                for block in blocks:
                    self._take_block(block.decode())

    def _take_block(self, block: str) -> None:
        lines = [line.partition(": ") for line in block.split("\n")]
        fields = {name: value for name, _, value in lines}
        if not fields.get("data", "").startswith("{"):
            return
        self._last_id = fields.get("id", self._last_id)
        self.take(json.loads(fields["data"]))


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt to have something done, and what came of it."""

    at: float
    took_s: float
    outcome: int | str


@dataclass(slots=True, kw_only=True)
class Caller:
    """Calls the REST API until it is answered; a key makes the repetition harmless."""

    base_url: str
    tries: list[Try] = field(default_factory=list)

    async def post(
        self, path: str, body: Json, *, key: str | None = None, within_s: float = 60
    ) -> Json:
        """Post until it is accepted. Raises TimeoutError."""
        deadline = time.monotonic() + within_s
        pause_s = FIRST_PAUSE_S
        while time.monotonic() < deadline:
            answer = await self._try("POST", path, body, key)
            if answer is not None:
                return answer
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        raise TimeoutError(f"not accepted within {within_s} s: {self.tries[-3:]}")

    async def get(self, path: str) -> Json:
        """Get until it is answered."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            answer = await self._try("GET", path, None, None)
            if answer is not None:
                return answer
            await asyncio.sleep(FIRST_PAUSE_S)
        raise TimeoutError(f"no answer to {path}: {self.tries[-3:]}")

    async def _try(self, method: str, path: str, body: Json | None, key: str | None) -> Json | None:
        started = time.monotonic()
        headers = {"Idempotency-Key": key} if key else {}
        answer: Json | None = None
        outcome: int | str
        try:
            url = f"{self.base_url}{path}"
            response = await http().request(method, url, json=body, headers=headers)
            outcome = response.status_code
            if response.status_code < 300:
                answer = response.json()
            elif response.status_code < 500 and response.status_code != 429:
                raise AssertionError(f"{method} {path}: {outcome} {response.text}")
        except httpx.HTTPError as error:
            outcome = repr(error)[:120]
        self.tries.append(Try(started, time.monotonic() - started, outcome))
        return answer


async def body_of(base_url: str, path: str, headers: dict[str, str]) -> AsyncIterator[bytes]:
    """Read a body that does not end, piece by piece.

    A thousand of httpx's streams would take longer to connect than what they are to measure.
    """
    host, port = base_url.removeprefix("http://").split(":")
    async with asyncio.timeout(OPEN_WITHIN_S):
        reader, writer = await asyncio.open_connection(host, int(port))
    try:
        asked = path if headers else f"{path}?after=0"
        named = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"GET {asked} HTTP/1.1\r\nHost: {host}:{port}\r\n{named}\r\n".encode())
        async with asyncio.timeout(SILENCE_S):
            head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ConnectionResetError(head.split(b"\r\n")[0].decode())
        assert b"transfer-encoding: chunked" in head.lower()
        while True:
            async with asyncio.timeout(SILENCE_S):
                count = int(await reader.readuntil(b"\r\n"), 16)
                piece = await reader.readexactly(count + 2)
            if not count:
                return
            yield piece[:-2]
    finally:
        writer.transport.abort()


_http: "WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient]" = WeakKeyDictionary()


def http() -> httpx.AsyncClient:
    """The loop's HTTP client, which makes a connection of its own for each request."""
    loop = asyncio.get_running_loop()
    if loop not in _http:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        _http[loop] = httpx.AsyncClient(timeout=10, limits=limits, trust_env=False)
    return _http[loop]


def new_key() -> str:
    return str(uuid4())
