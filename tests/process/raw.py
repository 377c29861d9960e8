"""Clients that no library would let one write: they stop reading, or send what nobody should."""

import base64
import ctypes
import os
import select
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.process.product import ROOT, Product, wait_for

#: Small, so that a server notices soon that nobody reads.
RECEIVE_BYTES = 8 * 1024
SLOW_RECEIVE_BYTES = 1024
SO_ATTACH_FILTER = 26
BPF_RETURN = 6


@contextmanager
def own_server(
    product: Product,
    *options: str,
    endpoint: str = "tcp:{port}",
    module: str = "project.server",
) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """One more web process on a product's data, with options of its own; and its port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    command = [sys.executable, "-m", module, "-e", endpoint.format(port=port), *options]
    server = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **product.environment})
    try:
        wait_for(lambda: _listens(port), timeout_s=30)
        yield server, port
    finally:
        server.kill()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def connected(
    port: int, *, receive_bytes: int | None = None, is_slow_line: bool = False
) -> Iterator[socket.socket]:
    """A TCP connection to the product."""
    with socket.socket() as sock:
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        if is_slow_line:
            # As on a slow line, the server sees that some of it arrives now and then. Loopback's
            # large segments would only be acknowledged when half of the buffer is free.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_RECEIVE_BYTES)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", port))
        yield sock


def http_request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def handshake(path: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def open_socket(sock: socket.socket, path: str) -> None:
    """Make a WebSocket of a connection, up to the end of the server's handshake."""
    sock.sendall(handshake(path))
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        assert byte, answer
        answer += byte
    assert b" 101 " in answer


def frame(payload: bytes, *, opcode: int = 1, is_final: bool = True) -> bytes:
    """One masked frame, as a client sends it."""
    first = bytes([opcode | (0x80 if is_final else 0)])
    length = len(payload)
    if length < 126:
        size = bytes([0x80 | length])
    elif length < 2**16:
        size = bytes([0x80 | 126]) + struct.pack("!H", length)
    else:
        size = bytes([0x80 | 127]) + struct.pack("!Q", length)
    # A mask of zeros leaves the payload as it is.
    return first + size + bytes(4) + payload


def wait_until_dropped(sock: socket.socket, *, timeout_s: float) -> float:
    """Wait, without reading, until the server has dropped the connection; gives how long it took.

    Raises TimeoutError.
    """
    started = time.monotonic()
    poll = select.poll()
    # Only errors: whatever arrived and is not read is of no interest.
    poll.register(sock, 0)
    if not poll.poll(timeout_s * 1000):
        raise TimeoutError(f"still connected after {timeout_s} s")
    return time.monotonic() - started


def vanish(sock: socket.socket) -> None:
    """Let the other side hear nothing more, as from a phone in a tunnel: no answer, no end.

    A filter drops what arrives before TCP sees it, so that nothing is acknowledged.
    """
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RETURN, 0, 0, 0))
    program = struct.pack("HL", 1, ctypes.addressof(drop_all))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def read_to_close(sock: socket.socket) -> bytes:
    """All that still comes before the server closes. Raises TimeoutError."""
    received = b""
    try:
        while data := sock.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return received


def read_response(sock: socket.socket) -> bytes:
    """One response with a Content-Length; the connection may stay."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(sock)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split()[0])
    while len(body) < length:
        body += _some(sock)
    return head + b"\r\n\r\n" + body


def _some(sock: socket.socket, size: int = 65536) -> bytes:
    data = sock.recv(size)
    assert data, "the server has closed the connection"
    return data


class Tls:
    """TLS on a connection, which reads from it exactly as much as it is told to.

    A socket of the ssl module takes whole records of 16 KB, which is not reading slowly.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._object = context.wrap_bio(self._incoming, self._outgoing)
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._incoming.write(_some(sock))
            else:
                return self._flush()

    def send(self, data: bytes) -> None:
        self._object.write(data)
        self._flush()

    def receive(self, size: int) -> bytes:
        """Read that much from the connection; gives what it holds, which may be nothing yet."""
        self._incoming.write(_some(self._sock, size))
        received = b""
        try:
            while data := self._object.read():
                received += data
        except ssl.SSLWantReadError:
            pass
        return received

    def _flush(self) -> None:
        self._sock.sendall(self._outgoing.read())
