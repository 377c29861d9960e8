"""daphne with back-pressure both ways, and an end that its clients are told of.

Plain daphne buffers without limit what a stalled client does not take and what an application has
not taken yet, and breaks all connections off at SIGTERM. Here `await send()` waits while the
client does not read, and one that takes nothing is dropped; a client that sends faster than it is
served is not read from; and SIGTERM lets every client go in good order. All can resume.

Run as `python -m project.server` with daphne's own options.
"""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

import uvloop

# Before daphne is imported: it makes Twisted's event loop at once.
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

import daphne.server  # noqa: E402
import twisted.web.http  # noqa: E402
from daphne.cli import CommandLineInterface  # noqa: E402
from twisted.internet import reactor  # noqa: E402
from twisted.internet.defer import Deferred  # noqa: E402

from chat import counters, draining, vitals  # noqa: E402
from project import flow, protocols  # noqa: E402

#: A client whose machine acknowledges nothing for so long is gone.
GONE_AFTER_MS = 20_000
#: What the kernel keeps of data that it cannot send yet: by itself up to 4 MB for each connection.
MAX_UNSENT_BYTES = 16 * 1024

# Everything must have ended 8 s after SIGTERM: `manage.py up` kills after 9.
DRAIN_WITHIN_S = 6.5
CANCEL_WITHIN_S = 1.0
SPREAD_S_PER_CONNECTION = 0.01
MAX_SPREAD_S = 5.0
#: A connection may have been accepted in the last moment, and its request be on the way.
JUST_ACCEPTED_S = 0.25
UNFINISHED_REQUEST_S = 1.0
LOOK_EVERY_S = 0.02

# Twisted has the words of an older list: 422 and 429 would be "Unknown Status".
for status in HTTPStatus:
    twisted.web.http.RESPONSES.setdefault(status.value, status.phrase.encode())

# The server makes its factories by these names.
daphne.server.WebSocketFactory = protocols.SocketFactory
daphne.server.HTTPFactory = protocols.RequestFactory


class Server(daphne.server.Server):
    """daphne's server with a gate before each connection, which ends slowly."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._ports: list[Any] = []

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        self._ports.append(port)
        if sys.platform == "linux" and port.socket.family != socket.AF_UNIX:
            # All connections inherit them.
            port.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_AFTER_MS)
            port.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """Start an application for a request or socket; gives the queue of what it receives."""
        details = self.connections[protocol]
        is_socket = isinstance(protocol, protocols.Socket)
        queue = protocol.make_inbox() if is_socket else asyncio.Queue()
        scope.setdefault("asgi", {"version": "3.0"})
        work = self.application(
            scope=scope, receive=queue.get, send=partial(self.handle_reply, protocol)
        )
        details["application_instance"] = asyncio.ensure_future(work)
        details["gate"] = _install_gate(protocol)
        if draining.has_begun():
            _let_go(protocol, within_s=0)
        return queue

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        gate = self.connections.get(protocol, {}).get("gate")
        if gate and not await gate.passed():
            counters.add("slow_clients_dropped")
            protocol.transport.abortConnection()
            return
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        # Without a channel the client is gone already.
        if is_last and protocol.channel is not None:
            # Twisted complains about a request that ends with its producer still registered.
            protocol.unregisterProducer()
        await super().handle_reply(protocol, message)

    def kill_all_applications(self) -> Any:
        """Called before the end, which waits for what this gives."""
        return Deferred.fromFuture(asyncio.ensure_future(self._end()))

    async def _end(self) -> None:
        for port in self._ports:
            port.stopListening()
        protocols_now = [p for p, d in self.connections.items() if "disconnected" not in d]
        spread_s = min(len(protocols_now) * SPREAD_S_PER_CONNECTION, MAX_SPREAD_S)
        draining.begin(spread_s=spread_s)
        for protocol in protocols_now:
            _let_go(protocol, within_s=spread_s)
        began_at = time.monotonic()
        while self._is_busy(time.monotonic() - began_at):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(LOOK_EVERY_S)
        left = self._applications()
        for work in left:
            work.cancel()
        if left:
            await asyncio.wait(left, timeout=CANCEL_WITHIN_S)

    def _is_busy(self, for_s: float) -> bool:
        """Whether there is anything to wait for, `for_s` after the end began."""
        if for_s > DRAIN_WITHIN_S:
            return False
        if for_s < JUST_ACCEPTED_S:
            return True
        if self._applications() or reactor.getWriters():
            return True
        is_arriving = any("disconnected" not in d for d in self.connections.values())
        return is_arriving and for_s < UNFINISHED_REQUEST_S

    def _applications(self) -> list["asyncio.Future[None]"]:
        found = (details.get("application_instance") for details in self.connections.values())
        return [work for work in found if work is not None and not work.done()]


def _install_gate(protocol: Any) -> flow.Gate:
    """Let the transport tell a gate when its buffer is full and when it is empty again."""
    gate = flow.Gate(protocol.transport)
    if isinstance(protocol, protocols.Request):
        protocol.registerProducer(gate, True)  # the channel passes the signals on
    else:
        # A WebSocket has taken the connection over from the HTTP channel, and with it the
        # producer that the channel had registered.
        protocol.transport.unregisterProducer()
        protocol.transport.registerProducer(gate, True)
    return gate


def _let_go(protocol: Any, *, within_s: float) -> None:
    if isinstance(protocol, protocols.Socket):
        protocol.close_for_restart(within_s=within_s)
    else:
        protocol.close_after_response()


class Daphne(CommandLineInterface):
    """daphne's command line with this server."""

    server_class = Server


def main(arguments: Sequence[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    defaults = ["--no-server-name", "--application-close-timeout", "3", "--verbosity", "0"]
    vitals.start("web")
    Daphne().run([*defaults, *arguments, "project.asgi:application"])


if __name__ == "__main__":
    main(sys.argv[1:])
