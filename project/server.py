"""daphne with back-pressure: an application's `await send()` waits while the client does not read.

Plain daphne buffers without limit what a stalled client does not take. Here Twisted's own signal
that a connection's buffer is full holds the application, and a client that takes nothing for
`STALL_LIMIT_S` is dropped; it can resume where it was.

Run as `python -m project.server` with daphne's own options.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any

import uvloop

# Before daphne is imported: it makes Twisted's event loop at once.
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

import daphne.server  # noqa: E402
from daphne.cli import CommandLineInterface  # noqa: E402
from twisted.internet.interfaces import IPushProducer  # noqa: E402
from zope.interface import implementer  # noqa: E402

STALL_LIMIT_S = 5.0


@implementer(IPushProducer)
class Gate:
    """Closed while the connection's buffer is full."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    def pauseProducing(self) -> None:
        self._open.clear()

    def resumeProducing(self) -> None:
        self._open.set()

    def stopProducing(self) -> None:
        self._open.set()

    async def passed(self) -> bool:
        """Wait until the client has taken what was sent; False when it takes nothing."""
        if self._open.is_set():
            return True
        try:
            async with asyncio.timeout(STALL_LIMIT_S):
                await self._open.wait()
        except TimeoutError:
            return False
        return True


class PoliteWebSocketFactory(daphne.server.WebSocketFactory):
    """Ends a socket that breaks the protocol with a close code, and not without a word."""

    def setProtocolOptions(self, **options: Any) -> None:
        super().setProtocolOptions(**options, failByDrop=False)


# The server makes its factory by this name.
daphne.server.WebSocketFactory = PoliteWebSocketFactory


class Server(daphne.server.Server):
    """daphne's server with a gate before each connection."""

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        queue = super().create_application(protocol, scope)
        if protocol in self.connections:
            self.connections[protocol]["gate"] = _install_gate(protocol)
        return queue

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        gate = self.connections.get(protocol, {}).get("gate")
        if gate and not await gate.passed():
            _abort(protocol)
            return
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            # Twisted complains about a request that ends with its producer still registered.
            protocol.unregisterProducer()
        await super().handle_reply(protocol, message)


def _install_gate(protocol: Any) -> Gate | None:
    """Let the transport tell a gate when its buffer is full and when it is empty again."""
    transport = getattr(protocol, "transport", None)
    if transport is None:
        return None
    gate = Gate()
    if hasattr(protocol, "registerProducer") and hasattr(protocol, "channel"):
        protocol.registerProducer(gate, True)  # HTTP: the channel passes the signals on
    else:
        # A WebSocket has taken the connection over from the HTTP channel, and with it the
        # producer that the channel had registered.
        transport.unregisterProducer()
        transport.registerProducer(gate, True)
    return gate


def _abort(protocol: Any) -> None:
    transport = getattr(protocol, "transport", None) or getattr(
        getattr(protocol, "channel", None), "transport", None
    )
    if transport is not None:
        transport.abortConnection()


class Daphne(CommandLineInterface):
    """daphne's command line with this server."""

    server_class = Server


def main(arguments: Sequence[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    defaults = ["--no-server-name", "--application-close-timeout", "3", "--verbosity", "0"]
    Daphne().run([*defaults, *arguments, "project.asgi:application"])


if __name__ == "__main__":
    main(sys.argv[1:])
