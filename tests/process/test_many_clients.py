"""Hundreds of clients at once: those that do not read cost little, and those that go leave nothing.

With a product of their own, whose memory nobody else uses.
"""

import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psutil
import pytest

from tests.process import long_session, raw, watching
from tests.process.client import Client
from tests.process.product import Product, wait_for

pytestmark = pytest.mark.process

READERS = 8
STALLED = 200
STALLED_KB_EACH = 100
STALL_LIMIT_S = 5.0
GONE_WITHIN_S = 6.0
#: To connect them all and to fill what holds data on the way to each.
FILLED_WITHIN_S = 12.0
STREAMS, MOST_THREADS = 100, 30
ROUNDS = 200
LEFT_MB = 10


@pytest.fixture(scope="module")
def own_product(
    tmp_path_factory: pytest.TempPathFactory, provider_settings: dict[str, str]
) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("many") / "data", **provider_settings) as started:
        yield started


@pytest.fixture(scope="module")
def own_client(own_product: Product) -> Iterator[Client]:
    made = Client(own_product)
    yield made
    made.close()


@pytest.fixture(scope="module")
def session_id(own_product: Product, own_client: Client) -> str:
    return long_session.make(own_product, own_client, events=20_000, event_bytes=2_000)


def requests(session_id: str, count: int) -> Iterator[bytes]:
    """As many for WebSockets as for event streams."""
    for _ in range(count // 2):
        yield raw.handshake(f"/ws/sessions/{session_id}?after=0")
        yield raw.http_request(f"/api/sessions/{session_id}/events?after=0")


def connect(stack: ExitStack, product: Product, data: bytes) -> socket.socket:
    made = stack.enter_context(raw.connected(product.port, receive_bytes=raw.RECEIVE_BYTES))
    made.sendall(data)
    return made


def wait_until_all_dropped(stalled: list[socket.socket], *, timeout_s: float) -> float:
    """Wait, without reading, until the server has dropped all; gives how long it took."""
    started = time.monotonic()
    poll = select.poll()
    left = {sock.fileno() for sock in stalled}
    for fd in left:
        poll.register(fd, 0)
    while left:
        rest_s = started + timeout_s - time.monotonic()
        assert rest_s > 0, f"{len(left)} are still connected after {timeout_s} s"
        for fd, _ in poll.poll(rest_s * 1000):
            poll.unregister(fd)
            left.discard(fd)
    return time.monotonic() - started


def read_some(client: Client, session_id: str) -> None:
    with client.socket(session_id, after=0) as reader:
        while reader.read()["seq"] < 1000:
            reader.frames.clear()


def test_G7_stalled_clients_cost_little_and_are_gone_soon(
    own_product: Product, own_client: Client, session_id: str
) -> None:
    web = own_product.child("web")
    # Readers that keep up show what memory reading the log takes by itself.
    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(read_some, [own_client] * READERS, [session_id] * READERS))
    for data in requests(session_id, 20):
        with ExitStack() as stack:
            connect(stack, own_product, data).recv(1024)
    watching.longest_gap_s(own_client, tokens=20)
    with ExitStack() as stack, watching.memory(web) as watch, ThreadPoolExecutor(1) as pool:
        bystander = pool.submit(watching.longest_gap_s, own_client, tokens=300)
        stalled = [connect(stack, own_product, data) for data in requests(session_id, STALLED)]
        took_s = wait_until_all_dropped(stalled, timeout_s=FILLED_WITHIN_S + GONE_WITHIN_S)
        gap_s = bystander.result()
    kb_each = watch.growth_mb * 1024 / STALLED
    print(
        f"{STALLED} stalled clients: +{kb_each:.0f} KB each, all dropped after {took_s:.1f} s,"
        f" others' longest gap {gap_s * 1000:.0f} ms"
    )
    assert kb_each < STALLED_KB_EACH
    assert gap_s < 1.0


def test_open_streams_share_a_few_threads(
    own_product: Product, own_client: Client, session_id: str
) -> None:
    path = f"/api/sessions/{session_id}/events"
    with ExitStack() as stack:
        opened = [connect(stack, own_product, raw.http_request(path)) for _ in range(STREAMS)]
        for stream in opened:
            assert b" 200 " in stream.recv(1024)
        threads = own_product.child("web").num_threads()
    print(f"{STREAMS} open streams: {threads} threads")
    assert threads < MOST_THREADS


def open_and_close(product: Product, session_id: str) -> None:
    for data in requests(session_id, ROUNDS):
        with ExitStack() as stack:
            connect(stack, product, data).recv(1024)


def test_H1_clients_that_have_gone_leave_nothing(
    own_product: Product, own_client: Client, session_id: str
) -> None:
    web = own_product.child("web")
    open_and_close(own_product, session_id)
    fds = wait_for_quiet(web)
    before_bytes = web.memory_info().rss
    for _ in range(3):
        open_and_close(own_product, session_id)
    left_fds = wait_for_quiet(web)
    grown_mb = (web.memory_info().rss - before_bytes) / watching.MEGABYTE
    print(f"after {3 * ROUNDS} clients: {fds} -> {left_fds} fds, +{grown_mb:.1f} MB")
    assert left_fds <= fds + 2
    assert grown_mb < LEFT_MB


def wait_for_quiet(process: psutil.Process) -> int:
    """Wait until the process has no connection left; gives how many files it has open."""
    wait_for(lambda: not [c for c in process.net_connections() if c.status == "ESTABLISHED"])
    # The server looks once a second for applications that have ended.
    time.sleep(2)
    return process.num_fds()
