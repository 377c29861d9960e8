"""Bad input on the wire: the server survives it, and nobody else notices."""

import contextlib
import json
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.process import raw
from tests.process.client import Client, Json, Socket
from tests.process.product import Product

pytestmark = pytest.mark.process

TWO_MEGABYTES = 2 * 2**20
INVALID_UTF8 = b'{"type":"send_message","text":"\xff\xfe\xc3"}'
TOO_BIG = json.dumps({"type": "send_message", "text": "x" * TWO_MEGABYTES}).encode()


@pytest.fixture
def sock(product: Product, client: Client) -> Iterator[socket.socket]:
    """A connection that has become a WebSocket on a new session."""
    with raw.connected(product.port) as connection:
        raw.open_socket(connection, f"/ws/sessions/{client.new_session()}?after=0")
        yield connection


def refusal(received: bytes) -> Json:
    """The JSON of an unmasked text frame that is shorter than 126 bytes, or than 64 KB."""
    start = 4 if received[1] == 126 else 2
    found: Json = json.loads(received[start:])
    return found


@pytest.mark.parametrize(
    "data",
    [
        raw.frame(INVALID_UTF8),
        raw.frame(b"x", opcode=3),
        raw.frame(b"x" * 200, opcode=9),
        raw.frame(b"x", opcode=0),
        b"\x81\x05hello",
        raw.frame(b"\x03\xe8\xff", opcode=8),
        raw.frame(TOO_BIG),
    ],
    ids=["utf-8", "opcode", "long-ping", "continuation", "unmasked", "close-reason", "too-big"],
)
def test_WS_4_WS_14_WS_15_a_broken_frame_ends_its_own_socket_only(
    sock: socket.socket, bystander: Socket, data: bytes
) -> None:
    with suppress(ConnectionError):
        sock.sendall(data)
    assert b'"type"' not in raw.read_to_close(sock)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (raw.frame(b" " * 200_000), "too_large"),
        (raw.frame(b"\x00\x01", opcode=2), "binary_frame"),
        (raw.frame(b"not JSON"), "invalid_json"),
        (raw.frame(b'{"type":"send_message","text":"\\ud800"}'), "invalid_json"),
        (raw.frame(b"[" * 100_000), "invalid_json"),
        (raw.frame(b'{"type":"send_message","text":"  "}'), "invalid_command"),
        (raw.frame(b'{"type":"send_message","type":"cancel_run","text":"x"}'), "invalid_json"),
        (raw.frame(b'{"type":"no_such"}'), "unknown_type"),
        (raw.frame(b"[]"), "invalid_command"),
        (raw.frame(b'{"type":"cancel_run","run_id":"nonsense"}'), "unknown_run"),
    ],
    ids=[
        *("too-large", "binary", "no-json", "surrogate", "deep", "empty"),
        *("doubled-key", "unknown", "list", "unknown-run"),
    ],
)
def test_a_bad_command_is_refused_and_the_socket_stays(
    sock: socket.socket, bystander: Socket, data: bytes, code: str
) -> None:
    sock.sendall(data)
    told = refusal(sock.recv(65536))
    assert (told["type"], told["code"]) == ("refused", code)
    # The socket still works.
    sock.sendall(raw.frame(b"{}"))
    assert refusal(sock.recv(65536))["type"] == "refused"


def test_a_message_in_fragments_is_one_message(sock: socket.socket) -> None:
    command = json.dumps({"type": "send_message", "text": "[[fake tokens=1]] é"}).encode()
    middle = len(command) - 4
    sock.sendall(raw.frame(command[:middle], is_final=False))
    sock.sendall(raw.frame(command[middle:], opcode=0))
    received = b""
    while b'"type":"run.finished"' not in received:
        received += sock.recv(65536)
    assert b'"type":"refused"' not in received


@pytest.mark.parametrize(
    "data",
    [
        b"GET /ws/sessions/x HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n",
        b"GET / HTTP/1.1\r\n",
        b"POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=["handshake", "request", "body", "tls", "lines", "long-path", "length"],
)
def test_R_1_WS_37_a_request_that_is_broken_off_disturbs_nobody(
    product: Product, bystander: Socket, data: bytes
) -> None:
    with raw.connected(product.port) as connection:
        # The server may have hung up already.
        with contextlib.suppress(OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        raw.read_to_close(connection)


def test_WS_37_many_unfinished_handshakes_disturb_nobody(
    product: Product, bystander: Socket
) -> None:
    begun = []
    try:
        for _ in range(200):
            connection = socket.create_connection(("127.0.0.1", product.port), timeout=5)
            begun.append(connection)
            connection.sendall(raw.handshake("/ws/sessions/x")[:-2])
        assert bystander.read_to_end()["type"] == "run.finished"
        bystander.ask("[[fake tokens=1]]")
    finally:
        for connection in begun:
            connection.close()


@pytest.mark.parametrize(
    ("path", "code"),
    [("/ws/sessions/unknown-session", 4404), ("/ws/sessions/x?after=-1", 4400)],
)
def test_a_socket_that_cannot_be_served_is_told_why(product: Product, path: str, code: int) -> None:
    with raw.connected(product.port) as connection:
        raw.open_socket(connection, path)
        received = raw.read_to_close(connection)
    assert received[:1] == b"\x88"
    assert int.from_bytes(received[2:4], "big") == code


def test_R_1_R_20_rest_refuses_a_body_that_is_too_long(client: Client, bystander: Socket) -> None:
    path = f"/api/sessions/{client.new_session()}/messages"
    assert client.http.post(path, json={"text": "x" * 40_000}).status_code == 422
    assert client.http.post(path, json={"text": "x" * TWO_MEGABYTES}).status_code in (413, 422)
    answer = client.http.post(path, json={"text": "x" * (2 * TWO_MEGABYTES)})
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"


@pytest.mark.parametrize("body", [b"[", b"\xff", b'{"text":"a","text":"b"}', b'{"text":NaN}'])
def test_R_1_rest_says_that_a_body_is_no_json(client: Client, body: bytes) -> None:
    path = f"/api/sessions/{client.new_session()}/messages"
    headers = {"Content-Type": "application/json"}
    answer = client.http.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
