"""One TCP connection, used again after a stream has ended."""

import httpx
import pytest

from tests.process.product import Product

pytestmark = pytest.mark.process

QUESTION = {"prompt": "[[fake tokens=3]]", "session_id": "one-connection", "stream_tokens": True}


def test_F52_a_connection_is_used_again_after_a_stream(product: Product) -> None:
    limits = httpx.Limits(max_connections=1)
    with httpx.Client(base_url=product.url, limits=limits, timeout=20) as http:
        ports = set()
        for method, path, body in [
            ("POST", "/stream", QUESTION),
            ("GET", "/health", None),
            ("GET", "/chat/stream?message=Hello&session_id=one-connection", None),
            ("POST", "/stream", QUESTION),
        ]:
            with http.stream(method, path, json=body) as response:
                assert response.status_code == 200
                assert "connection" not in response.headers
                text = response.read().decode()
                ports.add(response.extensions["network_stream"].get_extra_info("client_addr"))
            if path == "/stream":
                assert "event: agent_end" in text
    assert len(ports) == 1
    assert None not in ports
