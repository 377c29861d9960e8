"""SIGTERM to a web process: its clients are told, leave one after another, and lose nothing."""

import contextlib
import itertools
import re
import signal
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from tests.process import long_session, raw
from tests.process.client import Client, Json, Socket, check_order, follow, is_terminal, text_of
from tests.process.product import COMMANDS, Product, is_alive, wait_for

pytestmark = pytest.mark.process

Maker = Callable[..., Product]
SERVICE_RESTART = 1012
REASON = "The service restarts. Connect again."
RETRY = re.compile(rb"retry: (\d+)\n\n")
GONE_WITHIN_S = 8.0
TOKENS = 200
WISH = f"[[fake tokens={TOKENS} gap_ms=20]]"


@pytest.fixture(scope="module")
def own_product(
    tmp_path_factory: pytest.TempPathFactory, provider_settings: dict[str, str]
) -> Iterator[Product]:
    """A product whose web process may be ended."""
    with Product(tmp_path_factory.mktemp("drain") / "data", **provider_settings) as started:
        yield started


@pytest.fixture(scope="module")
def own_client(own_product: Product) -> Iterator[Client]:
    made = Client(own_product)
    made.ask("[[fake tokens=1]]", timeout_s=30)
    yield made
    made.close()


def web_processes(product: Product) -> list[psutil.Process]:
    found = []
    for process in product.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            if is_alive(process) and COMMANDS["web"] in " ".join(process.cmdline()):
                found.append(process)
    return found


def ready_web_process(client: Client) -> psutil.Process:
    """The web process, once it serves: it may just have been started again."""
    assert client.get("/health/ready")["status"] == "ok"
    return client.product.child("web")


def wait_until_gone(process: psutil.Process, *, since: float) -> float:
    """Wait for the end; gives how long it took."""
    wait_for(lambda: not is_alive(process), timeout_s=GONE_WITHIN_S + 2)
    return time.monotonic() - since


def read_to_restart(opened: Socket) -> float:
    """Read until the server says that it restarts; gives when it did."""
    with pytest.raises(ConnectionClosed) as caught:
        opened.read_until("never", timeout_s=GONE_WITHIN_S)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (SERVICE_RESTART, REASON)
    return time.monotonic()


def test_D2_sockets_are_closed_with_1012_one_after_another(own_client: Client) -> None:
    web = ready_web_process(own_client)
    session_id = own_client.new_session()
    count = 100
    with ExitStack() as stack, ThreadPoolExecutor(count) as pool:
        opened = [stack.enter_context(own_client.socket(session_id, after=0)) for _ in range(count)]
        readers = [pool.submit(read_to_restart, one) for one in opened]
        started = time.monotonic()
        web.terminate()
        closed_s = sorted(reader.result() - started for reader in readers)
    took_s = wait_until_gone(web, since=started)
    print(f"{count} sockets: closed {closed_s[0]:.2f} to {closed_s[-1]:.2f} s, exit {took_s:.2f} s")
    # About 10 ms for each of them.
    assert 0.5 < closed_s[-1] - closed_s[0] < 2.5
    assert max(b - a for a, b in itertools.pairwise(closed_s)) < 0.5
    assert statistics.median(closed_s) < 1.5
    assert took_s < GONE_WITHIN_S


def test_D2_streams_end_after_a_time_to_come_again(own_client: Client) -> None:
    web = ready_web_process(own_client)
    path = f"/api/sessions/{own_client.new_session()}/events?after=0"
    with ExitStack() as stack:
        streams = []
        for _ in range(10):
            streams.append(stack.enter_context(raw.connected(own_client.product.port)))
            streams[-1].sendall(raw.http_request(path))
            assert b" 200 " in streams[-1].recv(65536)
        started = time.monotonic()
        web.terminate()
        received = [raw.read_to_close(stream) for stream in streams]
    took_s = wait_until_gone(web, since=started)
    # The last chunk and then the one that says that the response is whole.
    assert all(data.endswith(b"\n\n\r\n0\r\n\r\n") for data in received)
    waits_ms = [int(RETRY.findall(data)[-1]) for data in received]
    assert len(set(waits_ms)) > 1
    assert all(100 <= wait_ms <= 2000 for wait_ms in waits_ms)
    assert took_s < GONE_WITHIN_S


def test_G12_readiness_says_draining_and_what_was_begun_is_finished(own_client: Client) -> None:
    web = ready_web_process(own_client)
    port = own_client.product.port
    body = b'{"title": "in flight"}'
    head = (
        "POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with ExitStack() as stack:
        kept, begun, silent = (stack.enter_context(raw.connected(port)) for _ in range(3))
        kept.sendall(raw.http_request("/health/live"))
        assert b" 200 " in raw.read_response(kept)
        begun.sendall(head.encode() + body[:10])
        # It never answers the close frame, and so keeps the process for a second.
        raw.open_socket(silent, f"/ws/sessions/{own_client.new_session()}")
        started = time.monotonic()
        web.terminate()
        time.sleep(0.3)
        new = stack.enter_context(raw.connected(port))
        new.sendall(raw.http_request("/health/live"))
        kept.sendall(raw.http_request("/health/ready"))
        answer = raw.read_response(kept)
        assert b" 503 " in answer
        assert b"draining" in answer
        assert b"connection: close" in answer.lower()
        begun.sendall(body[10:])
        assert b" 201 " in raw.read_response(begun)
        # Both connections end with their responses, in good order.
        assert kept.recv(1) == begun.recv(1) == b""
        assert wait_until_gone(web, since=started) < GONE_WITHIN_S
        # What came meanwhile has waited for the next process.
        assert b" 200 " in raw.read_response(new)


def test_G12_with_idle_connections_only_it_ends_at_once(own_client: Client) -> None:
    web = ready_web_process(own_client)
    port = own_client.product.port
    with ExitStack() as stack:
        for _ in range(20):
            kept = stack.enter_context(raw.connected(port))
            kept.sendall(raw.http_request("/health/live"))
            raw.read_response(kept)
        started = time.monotonic()
        web.terminate()
        took_s = wait_until_gone(web, since=started)
    print(f"20 idle connections: exit {took_s:.2f} s")
    assert took_s < 1.0


def test_G12_clients_that_do_not_read_do_not_hold_it_up(
    own_product: Product, own_client: Client
) -> None:
    web = ready_web_process(own_client)
    session_id = long_session.make(own_product, own_client, events=500, event_bytes=2000)
    with ExitStack() as stack:
        for number in range(10):
            stalled = stack.enter_context(
                raw.connected(own_client.product.port, receive_bytes=raw.RECEIVE_BYTES)
            )
            if number % 2:
                raw.open_socket(stalled, f"/ws/sessions/{session_id}?after=0")
            else:
                path = f"/api/sessions/{session_id}/events?after=0"
                stalled.sendall(raw.http_request(path))
        time.sleep(1)
        started = time.monotonic()
        web.terminate()
        took_s = wait_until_gone(web, since=started)
    print(f"10 clients that do not read: exit {took_s:.2f} s")
    assert took_s < GONE_WITHIN_S


def check_answer(client: Client, events: list[Json]) -> None:
    """The whole answer was told, once and in order."""
    check_order(events)
    assert [is_terminal(event) for event in events].count(True) == 1
    run = client.run(events[-1]["run_id"])
    assert run["status"] == "finished"
    assert text_of(events) == client.answer_of(run)
    assert len(text_of(events).split()) == TOKENS


@pytest.mark.parametrize("count", [1, 2])
def test_D2_who_connects_again_misses_nothing(
    make_product: Maker, provider_settings: dict[str, str], count: int
) -> None:
    product = make_product(**provider_settings, WEB_PROCESSES=str(count)).start()
    client = Client(product)
    wait_for(lambda: len(web_processes(product)) == count)
    session_id = client.new_session()
    gaps_s = []
    with client.socket(session_id) as opened:
        opened.ask(WISH)
        while len(text_of(opened.frames)) < 100:
            opened.read()
        # One after the other, whichever of them has the socket.
        for web in web_processes(product):
            web.terminate()
            started = time.monotonic()
            assert client.get("/health/live")["status"] == "ok"
            gaps_s.append(time.monotonic() - started)
            assert wait_until_gone(web, since=started) < GONE_WITHIN_S
        read_to_restart(opened)
        seen = opened.frames
    events = [*seen, *follow(client, session_id, after=seen[-1]["seq"], timeout_s=30)]
    check_answer(client, events)
    print(f"{count} web processes: new requests waited {[round(gap_s, 2) for gap_s in gaps_s]} s")
    if count > 1:
        assert gaps_s[0] < 1
    client.close()
    started = time.monotonic()
    assert product.stop(signal.SIGTERM) == 0
    assert time.monotonic() - started < 10


def test_D2_a_stream_that_comes_again_misses_nothing(own_client: Client) -> None:
    web = ready_web_process(own_client)
    session_id = own_client.new_session()
    own_client.send(session_id, WISH)
    events: list[Json] = []
    with own_client.event_stream(session_id) as stream:
        for event in stream:
            events.append(event)
            if len(text_of(events)) > 100:
                break
        web.terminate()
        events += stream  # to its end, which is a proper one
    with own_client.event_stream(session_id, after=events[-1]["seq"]) as stream:
        for event in stream:
            events.append(event)
            if is_terminal(event):
                break
    check_answer(own_client, events)


def test_D2_what_listens_by_itself_accepts_nothing_more(own_product: Product) -> None:
    with raw.own_server(own_product) as (server, port), raw.connected(port) as opened:
        raw.open_socket(opened, "/ws/sessions/nobody")
        with socket.socket() as silent:
            silent.connect(("127.0.0.1", port))
            silent.sendall(b"GET / HTTP/1.1\r\n")
            time.sleep(0.2)
            server.terminate()
            wait_for(lambda: _is_refused(port), timeout_s=0.5)
            assert server.poll() is None
        assert server.wait(GONE_WITHIN_S) == 0


def _is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False
