"""daphne with back-pressure both ways.

Plain daphne buffers without limit what a stalled client does not take and what an application has
not taken yet. Here `await send()` waits while the
client does not read, and one that takes nothing is dropped; and a client that sends faster than it is
served is not read from. All can resume.

Run as `python -m project.server` with daphne's own options.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import uvloop

# Before daphne is imported: it makes Twisted's event loop at once.
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

import daphne.server  # noqa: E402
from daphne.cli import CommandLineInterface  # noqa: E402

from project import flow, protocols  # noqa: E402

#: A client whose machine acknowledges nothing for so long is gone.
GONE_AFTER_MS = 20_000
#: What the kernel keeps of data that it cannot send yet: by itself up to 4 MB for each connection.
MAX_UNSENT_BYTES = 32 * 1024

# The server makes its factories by these names.
daphne.server.WebSocketFactory = protocols.SocketFactory
daphne.server.HTTPFactory = protocols.RequestFactory


class Server(daphne.server.Server):
    """daphne's server with a gate before each connection."""

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
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
        return queue

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        gate = self.connections.get(protocol, {}).get("gate")
        if gate and not await gate.passed():
            protocol.transport.abortConnection()
            return
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            # Twisted complains about a request that ends with its producer still registered.
            protocol.unregisterProducer()
        await super().handle_reply(protocol, message)


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


class Daphne(CommandLineInterface):
    """daphne's command line with this server."""

    server_class = Server


def main(arguments: Sequence[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    defaults = ["--no-server-name", "--application-close-timeout", "3", "--verbosity", "0"]
    Daphne().run([*defaults, *arguments, "project.asgi:application"])


if __name__ == "__main__":
    main(sys.argv[1:])
