"""Bad frames and handshakes that need a socket of bytes; nobody else notices them either."""

import contextlib
import json
import socket
import struct
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.process import raw
from tests.process.client import Client, Socket
from tests.process.product import Product

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("bystander")]

MEGABYTE = 2**20
IMPATIENT = "tests.process.impatient_server"
MASKED, TEXT, PING, CLOSE = 0x80, 1, 9, 8


@pytest.fixture
def path(client: Client) -> str:
    return f"/ws/sessions/{client.new_session()}?after=0"


@pytest.fixture
def sock(product: Product, path: str) -> Iterator[socket.socket]:
    """A connection that has become a WebSocket on a new session."""
    with raw.connected(product.port) as connection:
        raw.open_socket(connection, path)
        yield connection


def declared(length: int) -> bytes:
    """The head of a text frame that says how long it will be."""
    return bytes([0x80 | TEXT, MASKED | 127]) + struct.pack("!Q", length) + bytes(4)


@pytest.mark.parametrize("length", [2**20 + 1, 2**62, 2**63, 2**64 - 1])
def test_WS_14_a_frame_that_says_it_is_too_long_is_not_waited_for(
    sock: socket.socket, length: int
) -> None:
    sock.sendall(declared(length))
    assert b'"type"' not in raw.read_to_close(sock)


def test_WS_14_ten_thousand_fragments_of_a_byte_are_one_message(sock: socket.socket) -> None:
    command = b'{"type":"frobnicate"}'.ljust(10_000)
    first, *rest = (command[i : i + 1] for i in range(len(command)))
    frames = [raw.frame(first, is_final=False)]
    frames += [raw.frame(byte, opcode=0, is_final=False) for byte in rest]
    sock.sendall(b"".join(frames) + raw.frame(b"", opcode=0))
    assert b'"unknown_type"' in sock.recv(65536)


def test_WS_14_fragments_without_an_end_are_cut_off_and_not_kept(
    product: Product, sock: socket.socket
) -> None:
    web = psutil.Process(product.child("web").pid)
    before = web.memory_info().rss
    endless = raw.frame(bytes(MEGABYTE // 2), opcode=0, is_final=False) * 64
    sock.sendall(raw.frame(b"x", is_final=False))
    with contextlib.suppress(ConnectionError):
        sock.sendall(endless)
    raw.read_to_close(sock)
    assert web.memory_info().rss - before < 20 * MEGABYTE


def test_WS_14_a_message_that_does_not_end_ends_its_socket(product: Product, path: str) -> None:
    server = raw.own_server(product, module=IMPATIENT)
    with server as (_, port), raw.connected(port) as connection:
        raw.open_socket(connection, path)
        connection.sendall(raw.frame(b'{"type":', is_final=False))
        told = connection.recv(65536)
        # Too late, and no failure.
        with contextlib.suppress(ConnectionError):
            connection.sendall(raw.frame(b'"x"}', opcode=0))
            raw.read_to_close(connection)
    assert struct.pack("!H", 1008) + b"The message has no end" in told


def test_WS_14_a_message_that_ends_in_time_ends_nothing(product: Product, path: str) -> None:
    server = raw.own_server(product, module=IMPATIENT)
    with server as (_, port), raw.connected(port) as connection:
        raw.open_socket(connection, path)
        connection.sendall(raw.frame(b'{"type":', is_final=False))
        time.sleep(0.5)
        connection.sendall(raw.frame(b'"frobnicate"}', opcode=0))
        assert b'"unknown_type"' in connection.recv(65536)
        time.sleep(1)
        connection.sendall(raw.frame(b'{"type":"frobnicate"}'))
        assert b'"unknown_type"' in connection.recv(65536)


@pytest.mark.parametrize("bit", [0x40, 0x20, 0x10])
@pytest.mark.parametrize("opcode", [TEXT, PING])
def test_WS_15_a_reserved_bit_ends_the_socket(sock: socket.socket, bit: int, opcode: int) -> None:
    sock.sendall(bytes([0x80 | bit | opcode, MASKED]) + bytes(4))
    assert b'"type"' not in raw.read_to_close(sock)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1016, 2999, 5000])
def test_WS_15_a_close_code_that_nobody_may_send_ends_the_socket(
    sock: socket.socket, code: int
) -> None:
    sock.sendall(raw.frame(struct.pack("!H", code), opcode=CLOSE))
    raw.read_to_close(sock)


def test_WS_34_compression_is_not_negotiated(product: Product, path: str) -> None:
    wished = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    with raw.connected(product.port) as connection:
        connection.sendall(raw.handshake(path)[:-2] + wished.encode())
        answer = connection.recv(65536)
    assert b" 101 " in answer
    assert b"sec-websocket-extensions" not in answer.lower()


@pytest.mark.parametrize(
    ("old", "new", "statuses"),
    [
        (b"Version: 13", b"Version: 8", (b"400", b"426", b"101")),
        (b"Version: 13", b"Version: 99", (b"400", b"426")),
        (b"Version: 13", b"Version: x", (b"400", b"426")),
        (b"Sec-WebSocket-Key: ", b"X-Key: ", (b"400",)),
        (b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: x", (b"400",)),
        (b"Upgrade: websocket", b"Upgrade: h2c", (b"400", b"404")),
        (b"GET ", b"POST ", (b"400", b"404", b"405")),
        (b"Host: ", b"X: " + b"x" * 70_000 + b"\r\nHost: ", (b"400", b"431")),
        (b"Host: ", b"X-\xe9: \xff\r\nHost: ", (b"400", b"101")),
        (b"Host: ", b"Sec-WebSocket-Protocol: " + b"a, " * 100 + b"b\r\nHost: ", (b"400", b"101")),
    ],
    ids=[
        *("version-8", "version-99", "version-x", "no-key", "key", "upgrade", "post"),
        *("70-kB", "bytes", "protocols"),
    ],
)
def test_WS_37_a_handshake_that_is_none_is_refused(
    product: Product, path: str, old: bytes, new: bytes, statuses: tuple[bytes, ...]
) -> None:
    with raw.connected(product.port) as connection:
        connection.sendall(raw.handshake(path).replace(old, new))
        answer = connection.recv(65536)
    assert not answer or answer.split(b" ", 2)[1] in statuses


def test_WS_38_ten_thousand_pings_disturb_nobody(
    product: Product, sock: socket.socket, bystander: Socket
) -> None:
    web = psutil.Process(product.child("web").pid)
    before = web.memory_info().rss
    for _ in range(100):
        sock.sendall(raw.frame(b"x" * 100, opcode=PING) * 100)
        sock.recv(65536)
    assert bystander.read_to_end()["type"] == "run.finished"
    bystander.ask("[[fake tokens=1]]")
    assert web.memory_info().rss - before < 20 * MEGABYTE


def test_WS_28_WS_38_a_flood_of_messages_is_refused_and_not_stored(
    client: Client, product: Product, sock: socket.socket
) -> None:
    web = psutil.Process(product.child("web").pid)
    before = web.memory_info().rss
    command = {"type": "send_message", "text": "[[fake tokens=1]]", "if_running": "enqueue"}
    received = b""
    for _ in range(50):
        sock.sendall(raw.frame(json.dumps(command).encode()) * 40)
    while b'"too_many' not in received:
        received += sock.recv(65536)
    assert web.memory_info().rss - before < 20 * MEGABYTE
    assert client.http.get("/health/live").status_code == 200


@pytest.mark.parametrize("path", ["/ws/nosuch", "/", "/ws/sessions/a/b"])
def test_WS_26_at_a_path_where_nothing_is_the_handshake_is_answered_with_404(
    product: Product, path: str
) -> None:
    with raw.connected(product.port) as sock:
        sock.sendall(raw.handshake(path))
        assert sock.recv(65536).startswith(b"HTTP/1.1 404 ")
