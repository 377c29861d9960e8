"""Bad HTTP: what no library of a client would send, and what nobody should."""

import gzip
import json
import socket
import time

import psutil
import pytest

from tests.process import raw
from tests.process.client import Client, Socket
from tests.process.product import Product, wait_for

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("bystander")]

TEXT = json.dumps({"session_id": "from-bytes"})
POST = "POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
EVENTS = "GET /api/sessions/{}/events?after=0 HTTP/1.{}\r\nHost: 127.0.0.1\r\n"
MEGABYTE = 2**20


def exchange(product: Product, request: str | bytes) -> bytes:
    """All that comes back for a request, up to the end of the connection."""
    with raw.connected(product.port) as connection:
        connection.sendall(request if isinstance(request, bytes) else request.encode("latin-1"))
        return raw.read_to_close(connection)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (TEXT.encode("utf-16"), {}),
        (TEXT.encode("utf-32-le"), {}),
        (b"\xef\xbb\xbf" + TEXT.encode(), {}),
        (gzip.compress(TEXT.encode()), {"Content-Encoding": "gzip"}),
        (gzip.compress(bytes(50 * MEGABYTE)), {"Content-Encoding": "gzip"}),
        (TEXT.encode("utf-16"), {"Content-Type": "application/json; charset=utf-16"}),
    ],
    ids=["utf-16", "utf-32", "bom", "gzip", "bomb", "charset"],
)
def test_R_1_a_body_in_another_encoding_is_refused(
    client: Client, body: bytes, headers: dict[str, str]
) -> None:
    sent = {"Content-Type": "application/json"} | headers
    answer = client.http.post("/api/sessions", content=body, headers=sent)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


@pytest.mark.parametrize(
    "lengths",
    [
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: 2, 3\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: 0x2\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
    ],
)
def test_R_1_a_body_whose_length_is_told_in_two_ways_is_refused(
    product: Product, lengths: str
) -> None:
    hidden = "GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    answer = exchange(product, f"{POST}{lengths}\r\n0\r\n\r\n{hidden}")
    assert status(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1


def test_R_1_a_body_of_sixty_megabytes_is_refused_and_not_kept_in_memory(
    client: Client, product: Product
) -> None:
    web = psutil.Process(product.child("web").pid)
    before = web.memory_info().rss
    # One that tells its length, and one that does not.
    for body in (bytes(60 * MEGABYTE), iter([bytes(MEGABYTE)] * 60)):
        answer = client.http.post(
            "/api/sessions", content=body, headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert web.memory_info().rss - before < 20 * MEGABYTE


def test_R_1_chunks_without_an_end_disturb_nobody(product: Product, client: Client) -> None:
    with raw.connected(product.port) as connection:
        connection.sendall(f"{POST}Transfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(200):
            connection.sendall(b"1\r\n \r\n")
        assert client.http.get("/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("header", "statuses"),
    [
        ("Last-Event-ID: " + "x" * 70_000, {400, 431}),
        ("Last-Event-ID: a\0b", {400}),
        ("Last-Event-ID: a\x0bb", {400}),
        ("Last-Event-ID: a\rb", {400}),
        ("Last-Event-ID: a\x85b", {400}),
        ("Last-Event-ID : 1", {400}),
        ("X: 1\r\n" * 2000 + "X: 1", {400, 431}),
        ("no colon", {400}),
    ],
    ids=["70-kB", "nul", "vt", "cr", "nel", "space", "many", "colon"],
)
def test_S_4_a_header_that_is_none_is_refused(
    product: Product, client: Client, header: str, statuses: set[int]
) -> None:
    lines = EVENTS.format(client.new_session(), 1) + header + "\r\nConnection: close\r\n\r\n"
    answer = exchange(product, lines)
    # Some headers are worth no answer to the server: it closes.
    assert not answer or status(answer) in statuses


@pytest.mark.parametrize("version", ["0", "1"])
def test_S_19_a_stream_is_one_to_an_old_client_too(
    product: Product, client: Client, version: str
) -> None:
    session_id = client.new_session()
    client.ask("[[fake tokens=2]]", session_id=session_id)
    with raw.connected(product.port) as connection:
        asked = EVENTS.format(session_id, version) + "Accept-Encoding: gzip\r\n\r\n"
        connection.sendall(asked.encode())
        received = b""
        while b"event: run.finished" not in received:
            received += connection.recv(65536)
    assert status(received) == 200
    assert b"content-encoding" not in received.lower()


def test_R_12_only_the_host_itself_says_what_the_host_is(client: Client) -> None:
    foreign = {"Host": "evil.example"}
    assert client.http.get("/api/models", headers=foreign).status_code == 400
    forwarded = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    answer = client.http.get("/admin/", headers=forwarded, follow_redirects=False)
    assert "evil.example" not in answer.text + str(answer.headers)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/openapi.json", "/docs", "/"])
def test_R_21_nothing_tells_what_the_service_is_made_of(
    client: Client, product: Product, path: str
) -> None:
    answer = client.http.get(path)
    told = (answer.text + str(answer.headers)).lower()
    for word in ("daphne", "twisted", "django/", "python", str(product.data_dir), "sk-secret"):
        assert word.lower() not in told


def test_R_1_a_request_in_pieces_of_a_byte_is_one_request(product: Product) -> None:
    with raw.connected(product.port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in raw.http_request("/health/live").replace(b"\r\n\r\n", b"\r\nA: b\r\n\r\n"):
            connection.sendall(bytes([byte]))
        assert status(connection.recv(65536)) == 200


def test_sockets_that_come_and_go_leave_nothing_behind(
    product: Product, client: Client, bystander: Socket
) -> None:
    web = psutil.Process(product.child("web").pid)
    session_id = client.new_session()
    before = web.num_fds()
    for _ in range(200):
        with raw.connected(product.port) as connection:
            connection.sendall(raw.handshake(f"/ws/sessions/{session_id}?after=0"))
            connection.recv(1)
    assert bystander.read_to_end()["type"] == "run.finished"
    bystander.ask("[[fake tokens=1]]")
    wait_for(lambda: web.num_fds() <= before + 5)


def test_clients_that_leave_before_their_answers_are_no_errors(product: Product) -> None:
    request = f"{POST}Content-Length: {len(TEXT)}\r\n\r\n{TEXT}".encode()
    written = len(product.output)
    for number in range(200):
        with raw.connected(product.port) as connection:
            connection.sendall(request)
            # Some before it is read, some while it is answered.
            time.sleep(number % 20 / 2000)
    assert "Traceback" not in product.output[written:]


def test_a_refusal_has_its_words(client: Client) -> None:
    answer = client.http.get("/api/costs?from=yesterday")
    assert answer.status_code == 422
    assert answer.reason_phrase.startswith("Unprocessable")
