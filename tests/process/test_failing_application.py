"""A response that fails half-way is broken off, and the server goes on looking after the others."""

import pytest

from tests.process import raw
from tests.process.product import Product, wait_for

pytestmark = pytest.mark.process


def ask(port: int, path: str) -> bytes:
    """All that comes before the server ends the connection."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    with raw.connected(port) as asking:
        asking.sendall(request.encode())
        return raw.read_to_close(asking)


def test_a_failing_response_is_broken_off_and_others_are_still_cleaned_up(
    product: Product,
) -> None:
    options = ("--application-close-timeout", "1", "--verbosity", "0")
    module = "tests.process.failing_application"
    with raw.own_server(product, *options, module=module) as (_, port):
        answer = ask(port, "/half")
        assert b"half" in answer
        # Not the chunk that says that the response is whole.
        assert not answer.endswith(b"0\r\n\r\n")
        with raw.connected(port) as leaving:
            leaving.sendall(raw.http_request("/endless"))
            wait_for(lambda: b"running 2." in ask(port, "/"))
        wait_for(lambda: b"running 1." in ask(port, "/"))
