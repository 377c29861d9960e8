"""The links fail as they are told to, and are good again afterwards."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.chaos.loops import LoopThread
from tests.chaos.proxy import Proxy


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.request.recv(65536):
                self.request.sendall(data)


@pytest.fixture
def link() -> Iterator[Proxy]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    thread = LoopThread("links")
    made = Proxy(("127.0.0.1", server.server_address[1]), thread=thread)
    yield made
    made.close()
    thread.close()
    server.shutdown()
    server.server_close()


@contextlib.contextmanager
def connected(link: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", link.port), timeout=2) as sock:
        sock.sendall(b"first")
        assert sock.recv(100) == b"first"
        yield sock


def test_a_good_link_passes_everything(link: Proxy) -> None:
    with connected(link) as sock:
        sock.sendall(b"x" * 1_000_000)
        received = 0
        while received < 1_000_000:
            received += len(sock.recv(65536))


def test_a_delayed_link_is_late_and_in_order(link: Proxy) -> None:
    with connected(link) as sock:
        link.delay(0.05, jitter_s=0.05)
        started = time.monotonic()
        for number in range(10):
            sock.sendall(bytes([number]))
        received = b""
        while len(received) < 10:
            received += sock.recv(100)
        assert received == bytes(range(10))
        assert time.monotonic() - started >= 0.1


def test_a_stalled_link_says_nothing_and_loses_nothing(link: Proxy) -> None:
    with connected(link) as sock:
        link.stall("down")
        sock.sendall(b"second")
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(100)
        sock.settimeout(2)
        link.heal()
        assert sock.recv(100) == b"second"


def test_a_cut_link_is_reset_after_so_many_bytes(link: Proxy) -> None:
    with connected(link) as sock:
        link.cut_after(9)
        sock.sendall(b"second")
        assert sock.recv(100) == b"sec"
        with pytest.raises(ConnectionResetError):
            sock.recv(100)


def test_a_lost_answer_had_its_request(link: Proxy) -> None:
    with connected(link) as sock:
        link.lose_answers(b"COMMIT", times=1)
        sock.sendall(b"BEGIN")
        assert sock.recv(100) == b"BEGIN"
        sock.sendall(b"COMMIT")
        with pytest.raises(ConnectionResetError):
            sock.recv(100)
    assert link.lost_answers == 1


def test_a_refused_link_takes_connections_again_when_healed(link: Proxy) -> None:
    with connected(link) as sock:
        link.refuse()
        with pytest.raises(ConnectionResetError):
            sock.recv(100)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", link.port), timeout=2)
    link.heal()
    with connected(link):
        pass
