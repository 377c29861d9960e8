"""daphne's two protocols, with limits on what they take in and a word when they end.

Import it after daphne.server, which makes Twisted's event loop.
"""

import json
import random
from typing import Any

import daphne.http_protocol
import daphne.server
import daphne.ws_protocol
from autobahn.util import encode_truncate
from autobahn.websocket.types import ConnectionDeny
from twisted.internet import reactor

from project import flow

MAX_BODY_BYTES = 2**20
#: A body that is too long is read to its end, so that the client hears why; but not for ever.
MAX_DISCARDED_BYTES = 2**29
MAX_REASON_BYTES = 123
SERVICE_RESTART, POLICY_VIOLATION = 1012, 1008
#: A message in many frames has this long to come to its end.
UNFINISHED_MESSAGE_S = 30.0
#: With this code the application closes a socket at a path where nothing is.
NOT_FOUND = 4404
RESTART_REASON = "The service restarts. Connect again."
LOOK_AGAIN_S = 0.1


class Socket(daphne.ws_protocol.WebSocketProtocol):
    """A WebSocket that reads no faster than its application, and says why it closes."""

    ENDED = (
        daphne.ws_protocol.WebSocketProtocol.STATE_CLOSING,
        daphne.ws_protocol.WebSocketProtocol.STATE_CLOSED,
    )

    _unfinished: Any = None

    def make_inbox(self) -> flow.Inbox:
        return flow.Inbox(pause=self.transport.pauseProducing, resume=self._read_on)

    def processData(self) -> bool:
        # One read may hold thousands of frames: those that are not parsed stay bytes.
        return not self.application_queue.is_full and super().processData()

    def onMessageBegin(self, isBinary: bool) -> None:
        super().onMessageBegin(isBinary)
        self._expect_end()

    def onMessageEnd(self) -> None:
        self._stop_expecting()
        super().onMessageEnd()

    def _expect_end(self) -> None:
        self._unfinished = reactor.callLater(UNFINISHED_MESSAGE_S, self._give_up_message)

    def _give_up_message(self) -> None:
        if self.application_queue.is_full:
            self._expect_end()  # the rest may be there, but is not read yet
        else:
            self._close(POLICY_VIOLATION, "The message has no end")

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self._stop_expecting()
        super().onClose(wasClean, code, reason)

    def _stop_expecting(self) -> None:
        if self._unfinished and self._unfinished.active():
            self._unfinished.cancel()

    def _read_on(self) -> None:
        self.consumeData()
        if not self.application_queue.is_full:
            self.transport.resumeProducing()

    def handle_reply(self, message: dict[str, Any]) -> None:
        is_closing = message["type"] == "websocket.close"
        if message["type"] == "websocket.send" and self.state in self.ENDED:
            return  # its application has not heard yet that the client is gone
        if is_closing and self.state != self.STATE_CONNECTING:
            self._close(message.get("code") or 1000, message.get("reason") or "")
        elif is_closing and message.get("code") == NOT_FOUND:
            # daphne answers every refusal with 403, also where nothing is.
            self.handshake_deferred.errback(ConnectionDeny(404, "Not Found"))
            del self.handshake_deferred
            self.server.protocol_disconnected(self)
        else:
            super().handle_reply(message)

    def close_for_restart(self, *, within_s: float) -> None:
        """Tell the client, at a time of its own, to connect again."""
        reactor.callLater(random.uniform(0, within_s), self._close_for_restart)

    def _close_for_restart(self) -> None:
        if self.state == self.STATE_CONNECTING:
            reactor.callLater(LOOK_AGAIN_S, self._close_for_restart)
        else:
            self._close(SERVICE_RESTART, RESTART_REASON)

    def _close(self, code: int, reason: str) -> None:
        if self.state != self.STATE_OPEN:
            return  # the other side was first
        # daphne forgets the reason, and autobahn's sendClose() refuses 1011 and 1012.
        self.sendCloseFrame(code=code, reasonUtf8=encode_truncate(reason, MAX_REASON_BYTES))

    def _sendAutoPing(self) -> None:
        # It would stand in line behind what a slow client has not taken yet. Whether such a client
        # takes anything is watched without it.
        if not flow.pending_bytes(self.transport):
            super()._sendAutoPing()


class SocketFactory(daphne.server.WebSocketFactory):
    """Ends a socket that breaks the protocol with a close code, and not without a word."""

    protocol = Socket

    def setProtocolOptions(self, **options: Any) -> None:
        super().setProtocolOptions(**options, failByDrop=False)


class Request(daphne.http_protocol.WebRequest):
    """A request with a body of bounded length, whose response may fail half-way."""

    _body_bytes = 0

    def gotLength(self, length: int | None) -> None:
        super().gotLength(None if length is None else min(length, MAX_BODY_BYTES))

    def handleContentChunk(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._body_bytes <= MAX_BODY_BYTES:
            super().handleContentChunk(data)
        elif self._body_bytes > MAX_DISCARDED_BYTES:
            self.transport.abortConnection()

    def process(self) -> Any:
        return self._refuse_body() if self._body_bytes > MAX_BODY_BYTES else super().process()

    def _refuse_body(self) -> None:
        limit = MAX_BODY_BYTES // 2**20
        problem = {"detail": f"A body may have {limit} MiB at most", "code": "too_large"}
        body = json.dumps(problem).encode()
        headers = [
            (b"Content-Type", b"application/json; charset=utf-8"),
            (b"Content-Length", b"%d" % len(body)),
        ]
        self.handle_reply({"type": "http.response.start", "status": 413, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": body})

    def close_after_response(self) -> None:
        """Keep the connection no longer than this request."""
        self.channel.persistent = False
        if not self.startedWriting:
            self.setHeader(b"connection", b"close")

    def handle_exception(self, exception: BaseException) -> None:
        # daphne would send an error page into the response that has begun, fail at that, and
        # never look after any connection again.
        if self._response_started:
            self.transport.abortConnection()
        else:
            super().handle_exception(exception)


class RequestFactory(daphne.server.HTTPFactory):
    """Makes connections with requests of this kind."""

    def buildProtocol(self, addr: Any) -> Any:
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = Request
        return protocol
