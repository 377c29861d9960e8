"""Clients that no library would let one write: they stop reading, or send what nobody should."""

import base64
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: Small, so that a server notices soon that nobody reads.
RECEIVE_BYTES = 8 * 1024


@contextmanager
def connected(port: int, *, receive_bytes: int | None = None) -> Iterator[socket.socket]:
    """A TCP connection to the product."""
    with socket.socket() as sock:
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
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


def read_to_close(sock: socket.socket) -> bytes:
    """All that still comes before the server closes. Raises TimeoutError."""
    received = b""
    try:
        while data := sock.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return received
