"""Clients that send faster than they are served, and bodies that nobody could want."""

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.process import raw, watching
from tests.process.client import Client
from tests.process.product import Product

pytestmark = pytest.mark.process

#: It is a command, and refused: there is no such run, or too many commands wait already.
FRAME = raw.frame(b'{"type":"cancel_run","run_id":"none"}')
FRAMES = 150_000
FRAMES_PER_S = 5000
PACED_FRAMES = 5000
GROWTH_MB = 50
LONGEST_GAP_S = 1.0
REFUSED = b'"refused"'


def test_C3f_frames_of_who_does_not_read_are_not_taken_in(product: Product, client: Client) -> None:
    path = f"/ws/sessions/{client.new_session()}"
    with (
        watching.memory(product.child("web")) as watch,
        ThreadPoolExecutor(1) as pool,
        raw.connected(product.port, receive_bytes=raw.RECEIVE_BYTES) as flooding,
    ):
        raw.open_socket(flooding, path)
        bystander = pool.submit(watching.longest_gap_s, client)
        sent = 0
        # It is dropped in the end, as it does not read what it is answered.
        with contextlib.suppress(ConnectionError):
            while sent < FRAMES:
                flooding.sendall(FRAME * 1000)
                sent += 1000
        gap_s = bystander.result()
    print(f"{sent} frames: +{watch.growth_mb:.1f} MB, others' longest gap {gap_s * 1000:.0f} ms")
    assert watch.growth_mb < GROWTH_MB
    assert gap_s < LONGEST_GAP_S


def test_C3f_every_frame_of_a_flood_is_answered(product: Product, client: Client) -> None:
    path = f"/ws/sessions/{client.new_session()}"
    with (
        watching.memory(product.child("web")) as watch,
        ThreadPoolExecutor(2) as pool,
        raw.connected(product.port) as flooding,
    ):
        raw.open_socket(flooding, path)
        bystander = pool.submit(watching.longest_gap_s, client)
        started = time.monotonic()
        sending = pool.submit(_send_paced, flooding)
        refused = _count_refusals(flooding)
        took_s = time.monotonic() - started
        sending.result()
        gap_s = bystander.result()
    print(
        f"{refused} frames answered in {took_s:.1f} s: +{watch.growth_mb:.1f} MB,"
        f" others' longest gap {gap_s * 1000:.0f} ms"
    )
    assert refused == PACED_FRAMES
    assert watch.growth_mb < GROWTH_MB
    assert gap_s < LONGEST_GAP_S


def _send_paced(flooding: socket.socket) -> None:
    started, sent = time.monotonic(), 0
    while sent < PACED_FRAMES:
        flooding.sendall(FRAME * 100)
        sent += 100
        time.sleep(max(0.0, started + sent / FRAMES_PER_S - time.monotonic()))


def _count_refusals(flooding: socket.socket) -> int:
    found, rest = 0, b""
    while found < PACED_FRAMES:
        data = rest + flooding.recv(65536)
        found += data.count(REFUSED)
        # What may be the first part of one more.
        rest = data[-len(REFUSED) + 1 :]
    return found


@pytest.mark.parametrize("is_chunked", [False, True])
def test_C3f_a_body_that_is_too_long_is_not_kept(
    product: Product, client: Client, is_chunked: bool
) -> None:
    megabytes = 12
    block = bytes(watching.MEGABYTE)
    head = "POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    if is_chunked:
        head += "Transfer-Encoding: chunked\r\n\r\n"
        block = f"{len(block):x}\r\n".encode() + block + b"\r\n"
    else:
        head += f"Content-Length: {megabytes * len(block)}\r\n\r\n"
    with watching.memory(product.child("web")) as watch, raw.connected(product.port) as sending:
        sending.sendall(head.encode())
        for _ in range(megabytes):
            sending.sendall(block)
        if is_chunked:
            sending.sendall(b"0\r\n\r\n")
        answer = raw.read_response(sending)
        # The connection can be used for the next request.
        sending.sendall(raw.http_request("/health/live"))
        assert b" 200 " in raw.read_response(sending)
    assert b" 413 " in answer
    assert b"too_large" in answer
    assert watch.growth_mb < 5


def test_C3f_a_body_without_end_is_broken_off(product: Product) -> None:
    block = bytes(8 * watching.MEGABYTE)
    head = f"POST /api/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: {10**12}\r\n\r\n"
    with raw.connected(product.port) as sending:
        sending.sendall(head.encode())
        with pytest.raises(ConnectionError):
            _send_often(sending, block)


def _send_often(sending: socket.socket, block: bytes) -> None:
    for _ in range(100):
        sending.sendall(block)
