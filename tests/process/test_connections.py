"""Streams over connections that are used again, and compressed ones, as real clients read them."""

import httpx
import pytest

from tests.process.client import Client
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


def test_F69_a_compressed_stream_is_read_while_its_run_goes_on(client: Client) -> None:
    session_id = client.new_session()
    run_id = client.send(session_id, "[[fake tokens=1000 gap_ms=20]]")
    path = f"/api/sessions/{session_id}/events?after=0&compress=1"
    with client.http.stream("GET", path) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        lines = response.iter_lines()
        assert "event: text.delta" in lines
        assert client.run(run_id)["status"] == "running"
        client.http.post(f"/api/runs/{run_id}/cancel")
        assert "event: run.cancelled" in lines
