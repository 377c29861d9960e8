"""HTTP/1.1 on one loopback socket: reading requests, writing bodies, noticing hang-ups."""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from tests.fakes.wire import phrase

HEAD_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request; the names of its headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def keep_alive(self) -> bool:
        return self.headers.get("connection", "").lower() != "close"


class Connection:
    """One client; its task is cancelled as soon as the client hangs up."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.task: asyncio.Task[None] | None = None
        self.client_left = False

    def hung_up(self) -> None:
        if not self.client_left and self.task is not None:
            self.client_left = True
            self.task.cancel()

    async def read_request(self) -> HttpRequest:
        """The next request; raises `IncompleteReadError` when there is none."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, path, _version = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _colon, value in pairs}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return HttpRequest(method, path.partition("?")[0], headers, body)

    def respond(self, status: int, body: bytes, extra: dict[str, str] | None = None) -> None:
        """A whole JSON answer at once."""
        length = {"Content-Length": str(len(body)), **(extra or {})}
        self.writer.write(response_head(status, "application/json", length) + body)

    def reset(self) -> None:
        """End the connection with a TCP reset instead of an orderly close."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def abort(self) -> None:
        self.writer.transport.abort()


class WatchedProtocol(asyncio.StreamReaderProtocol):
    """Asyncio's streams, which alone would tell of a hang-up only to whoever is reading."""

    def __init__(self, serve: Callable[[Connection], Coroutine[Any, Any, None]]) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(asyncio.StreamReader(HEAD_LIMIT, loop), self.connected, loop=loop)
        self.serve = serve
        self.connection: Connection | None = None

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection = Connection(reader, writer)
        work = self.serve(self.connection)
        self.connection.task = asyncio.get_running_loop().create_task(work)

    def eof_received(self) -> bool | None:
        self.hung_up()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.hung_up()
        super().connection_lost(exc)

    def hung_up(self) -> None:
        if self.connection is not None:
            self.connection.hung_up()


def response_head(status: int, content_type: str, extra: dict[str, str]) -> bytes:
    headers = {
        "Content-Type": content_type,
        "Cache-Control": "no-cache",
        "Connection": "keep-alive",
        **extra,
    }
    lines = [f"HTTP/1.1 {status} {phrase(status)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def framed(data: bytes) -> bytes:
    """One chunk of the chunked transfer encoding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class ChunkedBody:
    """A body of unknown length, written event by event.

    With `piece_bytes`, events are cut into pieces of that many bytes. Each piece is a chunk and
    a write of its own, because pieces of one chunk may be merged again on their way.
    """

    def __init__(self, writer: asyncio.StreamWriter, piece_bytes: int = 0) -> None:
        self.writer = writer
        self.piece_bytes = piece_bytes

    def begin(self, own: dict[str, str]) -> None:
        extra = {"Transfer-Encoding": "chunked", **own}
        self.writer.write(response_head(200, "text/event-stream; charset=utf-8", extra))

    async def send(self, data: bytes) -> None:
        """Nothing is not sent: a chunk without bytes would end the body."""
        if data:
            self.writer.write(framed(await self.send_all_but_last_piece(data)))
            await self.writer.drain()

    def finish(self, data: bytes) -> None:
        """The last bytes and the end of the body, in one write."""
        self.writer.write((framed(data) if data else b"") + b"0\r\n\r\n")

    async def send_all_but_last_piece(self, data: bytes) -> bytes:
        """Write what has to be cut off; returns what is left for a last write."""
        while 0 < self.piece_bytes < len(data):
            self.writer.write(framed(data[: self.piece_bytes]))
            data = data[self.piece_bytes :]
            await self.writer.drain()
            await asyncio.sleep(0)
        return data

    def break_off(self, data: bytes) -> None:
        """The first half of a chunk whose size line announces all of it."""
        self.writer.write(framed(data)[: len(data) // 2])
