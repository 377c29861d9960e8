"""Clients that do not read are dropped, slow ones are kept, and neither fills the memory."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.process import long_session, raw, watching
from tests.process.client import Client, check_order, text_of
from tests.process.product import Product, wait_for

pytestmark = pytest.mark.process

EVENTS = 20_000
EVENT_BYTES = 2_000
STALL_LIMIT_S = 5.0
DROPPED_WITHIN_S = 8.0
GROWTH_MB = 30
WAYS = ("socket", "sse")
#: So slow that what the server's buffers hold alone would take minutes.
SLOW_BYTES_PER_S = 1024
SLOW_FOR_S = 15.0
READ_EVENTS = 1000


@pytest.fixture(scope="module")
def session_id(product: Product, client: Client) -> str:
    return long_session.make(product, client, events=EVENTS, event_bytes=EVENT_BYTES)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and a certificate that it has signed itself."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key_path, certificate_path = folder / "key.pem", folder / "certificate.pem"
    key_path.write_bytes(
        key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            encryption_algorithm=serialization.NoEncryption(),
        )
    )
    certificate_path.write_bytes(made.public_bytes(pem))
    return key_path, certificate_path


@pytest.fixture(scope="module")
def tls_port(product: Product, certificate: tuple[Path, Path]) -> Iterator[int]:
    """Where a web process on the same data speaks TLS."""
    endpoint = "ssl:{port}:interface=127.0.0.1" + ":privateKey={}:certKey={}".format(*certificate)
    with raw.own_server(product, endpoint=endpoint) as (_, port):
        yield port


@pytest.fixture
def watch(product: Product, client: Client, session_id: str) -> Iterator[watching.Watch]:
    # A reader that keeps up shows what memory reading the log takes by itself.
    with client.socket(session_id, after=0) as reader:
        while reader.read()["seq"] < EVENTS / 2:
            reader.frames.clear()
    with watching.memory(product.child("web")) as made:
        yield made


def request(way: str, session_id: str) -> bytes:
    if way == "socket":
        return raw.handshake(f"/ws/sessions/{session_id}?after=0")
    return raw.http_request(f"/api/sessions/{session_id}/events?after=0")


@pytest.mark.parametrize("way", WAYS)
def test_F18_C1f_a_client_that_stops_reading_is_dropped(
    product: Product, client: Client, session_id: str, watch: watching.Watch, way: str
) -> None:
    with raw.connected(product.port, receive_bytes=raw.RECEIVE_BYTES) as stalled:
        stalled.sendall(request(way, session_id))
        started = time.monotonic()
        with client.socket(client.new_session()) as other:
            # Somebody else's answer comes as fast as ever.
            other.ask("[[fake tokens=100 gap_ms=20]]")
            assert other.read_to_end(timeout_s=10)["type"] == "run.finished"
        raw.wait_until_dropped(stalled, timeout_s=DROPPED_WITHIN_S)
        took_s = time.monotonic() - started
    check_order(other.frames)
    assert len(text_of(other.frames).split()) == 100
    print(f"{way}: dropped after {took_s:.1f} s, the web process grew by {watch.growth_mb:.1f} MB")
    assert STALL_LIMIT_S < took_s < DROPPED_WITHIN_S
    assert watch.growth_mb < GROWTH_MB


@pytest.mark.parametrize("way", WAYS)
def test_C1f_a_client_that_stops_reading_is_dropped_under_tls(
    tls_port: int, session_id: str, way: str
) -> None:
    with raw.connected(tls_port, receive_bytes=raw.RECEIVE_BYTES) as stalled:
        tls = raw.Tls(stalled)
        tls.send(request(way, session_id))
        started = time.monotonic()
        raw.wait_until_dropped(stalled, timeout_s=DROPPED_WITHIN_S)
        assert STALL_LIMIT_S < time.monotonic() - started < DROPPED_WITHIN_S


def read_slowly_then_fast(port: int, data: bytes, *, with_tls: bool) -> list[int]:
    """Read 1 kB/s for a while and then as fast as it comes; gives the numbers of the events."""
    with raw.connected(port, is_slow_line=True) as slow:
        tls = raw.Tls(slow) if with_tls else None
        send: Callable[[bytes], None] = tls.send if tls else slow.sendall
        read: Callable[[int], bytes] = tls.receive if tls else slow.recv
        send(data)
        received = bytearray()
        slow_until = time.monotonic() + SLOW_FOR_S
        while time.monotonic() < slow_until:
            received += read(SLOW_BYTES_PER_S // 4)
            time.sleep(0.25)
        assert len(received) < 2 * SLOW_FOR_S * SLOW_BYTES_PER_S
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, watching.MEGABYTE)
        while received.count(b'"seq":') < READ_EVENTS:
            received += read(65536)
    return long_session.seqs_in(bytes(received))


def test_C1f_slow_readers_are_kept_and_miss_nothing(
    product: Product, tls_port: int, session_id: str
) -> None:
    with ThreadPoolExecutor(4) as pool:
        reading = [
            pool.submit(read_slowly_then_fast, port, request(way, session_id), with_tls=with_tls)
            for way in WAYS
            for port, with_tls in ((product.port, False), (tls_port, True))
        ]
        for one in reading:
            seqs = one.result()
            # Neighbouring deltas at its beginning are joined.
            tail = seqs[20:]
            assert tail == list(range(tail[0], tail[0] + len(tail)))


def test_C2f_a_socket_whose_client_has_vanished_is_freed(product: Product, client: Client) -> None:
    """With the waits of a running service, 20 and 30 s, it takes 50 s."""
    options = ("--ping-interval", "1", "--ping-timeout", "2")
    path = f"/ws/sessions/{client.new_session()}"
    with raw.own_server(product, *options) as (server, port), raw.connected(port) as vanishing:
        raw.open_socket(vanishing, path)
        web = psutil.Process(server.pid)
        wait_for(lambda: _connections(web, port) == 1)
        raw.vanish(vanishing)
        started = time.monotonic()
        wait_for(lambda: _connections(web, port) == 0, timeout_s=15)
        assert time.monotonic() - started > 2


def test_C2f_a_connection_that_acknowledges_nothing_is_freed(
    product: Product, client: Client
) -> None:
    """Event streams have no pings; their keep-alives are what is not acknowledged."""
    session_id = client.new_session()
    web = product.child("web")
    with raw.connected(product.port) as vanishing:
        vanishing.sendall(raw.http_request(f"/api/sessions/{session_id}/events?after=0"))
        assert b" 200 " in vanishing.recv(65536)
        peer = vanishing.getsockname()[1]
        raw.vanish(vanishing)
        client.ask("[[fake tokens=3]]", session_id=session_id)
        started = time.monotonic()
        wait_for(lambda: peer not in _peers(web), timeout_s=30)
    print(f"an event stream was freed {time.monotonic() - started:.0f} s after what it did not get")


def _connections(web: psutil.Process, port: int) -> int:
    return sum(c.status == "ESTABLISHED" and c.laddr.port == port for c in web.net_connections())


def _peers(web: psutil.Process) -> set[int]:
    return {c.raddr.port for c in web.net_connections() if c.raddr}
