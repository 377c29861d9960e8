"""Clients that stop reading are dropped, and do not fill the server's memory meanwhile."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.process import raw
from tests.process.client import Client, check_order, text_of
from tests.process.product import Product

pytestmark = pytest.mark.process

EVENTS = 20_000
EVENT_BYTES = 2_000
MEGABYTE = 2**20
#: The server's limit is 5 s from when its own buffers are full.
DROPPED_WITHIN_S = 8.0
DROPPED_AFTER_S = 3.0
GROWTH_MB = 30


@pytest.fixture(scope="module")
def long_session(product: Product, client: Client) -> str:
    """A session with 40 MB of events, which nobody could wait for to be said."""
    run = client.ask("[[fake tokens=1]]")
    session_id = str(run["session_id"])
    body = json.dumps({"type": "custom", "name": "filler", "data": "x" * EVENT_BYTES})
    path = product.data_dir / "chatledger.sqlite3"
    with closing(sqlite3.connect(path, timeout=20)) as database, database:
        found = database.execute(
            "SELECT id, last_seq FROM chat_chatsession WHERE session_id = ?", [session_id]
        )
        pk, last = found.fetchone()
        template = "SELECT run_id, attempt, at FROM chat_eventrecord WHERE session_id = ? LIMIT 1"
        run_id, attempt, at = database.execute(template, [pk]).fetchone()
        database.executemany(
            "INSERT INTO chat_eventrecord (session_id, seq, run_id, attempt, type, body, at)"
            " VALUES (?, ?, ?, ?, 'custom', ?, ?)",
            [(pk, last + n, run_id, attempt, body, at) for n in range(1, EVENTS + 1)],
        )
        statement = "UPDATE chat_chatsession SET last_seq = ? WHERE id = ?"
        database.execute(statement, [last + EVENTS, pk])
    return session_id


class Watch(threading.Thread):
    """Notes the most memory that the web process has used while something happens."""

    def __init__(self, product: Product) -> None:
        super().__init__()
        self.process = product.child("web")
        self.before_bytes = self.process.memory_info().rss
        self.most_bytes = self.before_bytes
        self.is_over = threading.Event()

    def run(self) -> None:
        while not self.is_over.wait(0.1):
            self.most_bytes = max(self.most_bytes, self.process.memory_info().rss)

    @property
    def growth_mb(self) -> float:
        return (self.most_bytes - self.before_bytes) / MEGABYTE


@pytest.fixture
def watch(product: Product, client: Client, long_session: str) -> Iterator[Watch]:
    # A reader that keeps up shows what memory reading the log takes by itself.
    with client.socket(long_session, after=0) as socket:
        while socket.read()["seq"] < EVENTS / 2:
            socket.frames.clear()
    watching = Watch(product)
    watching.start()
    yield watching
    watching.is_over.set()
    watching.join()


@pytest.mark.parametrize("way", ["socket", "sse"])
def test_a_client_that_stops_reading_is_dropped(
    product: Product, client: Client, long_session: str, watch: Watch, way: str
) -> None:
    with raw.connected(product.port, receive_bytes=raw.RECEIVE_BYTES) as stalled:
        if way == "socket":
            raw.open_socket(stalled, f"/ws/sessions/{long_session}?after=0")
        else:
            stalled.sendall(raw.http_request(f"/api/sessions/{long_session}/events?after=0"))
        with client.socket(client.new_session()) as other:
            # Somebody else's answer comes as fast as ever.
            other.ask("[[fake tokens=100 gap_ms=20]]")
            assert other.read_to_end(timeout_s=10)["type"] == "run.finished"
        took_s = raw.wait_until_dropped(stalled, timeout_s=DROPPED_WITHIN_S) + 2
    check_order(other.frames)
    assert len(text_of(other.frames).split()) == 100
    assert DROPPED_AFTER_S < took_s < DROPPED_WITHIN_S + 2
    assert watch.growth_mb < GROWTH_MB


@pytest.mark.parametrize("way", ["socket", "sse"])
def test_a_slow_reader_is_not_dropped_and_misses_nothing(
    product: Product, client: Client, way: str
) -> None:
    run = client.ask("[[fake tokens=1500]]")
    session_id = run["session_id"]
    path = f"/ws/sessions/{session_id}" if way == "socket" else f"/api/sessions/{session_id}/events"
    whole = client.answer_of(run)
    with raw.connected(product.port, receive_bytes=raw.RECEIVE_BYTES) as slow:
        if way == "socket":
            raw.open_socket(slow, f"{path}?after=0")
        else:
            slow.sendall(raw.http_request(f"{path}?after=0"))
        received = b""
        while b'"type":"run.finished"' not in received:
            # 2 KB at a time with a pause: slower than the server would like.
            data = slow.recv(2048)
            assert data
            received += data
            threading.Event().wait(0.005)
    # The answer is there twice at least: in deltas, and as the completed message.
    assert received.count(whole.split()[-1].encode()) >= 2
