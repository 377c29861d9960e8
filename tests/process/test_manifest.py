"""The product with a manifest: what it is called, what is switched off, and where things are."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.chat.dialects.asking import data_in
from tests.process.product import ROOT, Product, wait_for

pytestmark = pytest.mark.process

MANIFEST = """
kind: Agent
metadata: {name: my-agent, version: 1.2.3}
spec:
  role: "You are helpful.\\nUser preferences: nothing but tests"
  llm: {provider: scripted}
  tools:
    - {type: function, name: calculator}
    - {type: mcp, name: fake, config: {server: "${MCP_SERVER:false}", env: {GIVEN: x}}}
  streaming:
    sse: {endpoint: /api/stream}
    websocket: {endpoint: /chat}
    a2a: {enabled: false}
    callbacks: {on_llm_new_token: false, on_tool_start: false}
  api:
    cors: {origins: ["http://localhost:3000"]}
    rate_limit: {requests_per_minute: 1000}
"""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("manifest")
    (folder / "agent.ossa.yaml").write_text(MANIFEST)
    with Product(
        folder / "data",
        AGENT_MANIFEST=str(folder / "agent.ossa.yaml"),
        MCP_SERVER=f"{sys.executable} {ROOT / 'tests' / 'fakes' / 'mcp_server.py'}",
    ) as started:
        yield started


def ask(product: Product, path: str, message: str) -> list[dict[str, object]]:
    asked = {"message": message}
    with httpx.stream("GET", product.url + path, params=asked, timeout=30) as response:
        assert response.status_code == 200
        return data_in(response.read().decode())


def test_F35_the_agent_is_called_as_it_says(product: Product) -> None:
    health = httpx.get(f"{product.url}/health").json()
    assert (health["agent"], health["version"]) == ("my-agent", "1.2.3")
    card = httpx.get(f"{product.url}/.well-known/agent-card.json").json()
    assert card["name"] == "my-agent"


def test_F25_a_stream_is_where_the_manifest_wants_it_and_where_it_was(product: Product) -> None:
    for path in ("/api/stream", "/chat/stream"):
        assert ask(product, path, "Hi")[-1]["type"] == "done"
    posted = httpx.post(f"{product.url}/api/stream", json={"message": "Hi"})
    assert data_in(posted.text)[-1]["type"] == "done"


def test_F25_a_socket_is_where_the_manifest_wants_it(product: Product) -> None:
    with connect(product.url.replace("http", "ws", 1) + "/chat") as socket:
        assert json.loads(socket.recv())["type"] == "connected"


def test_F26_only_what_is_switched_off_is_not_told(product: Product) -> None:
    told = ask(product, "/chat/stream", "What is 25 * 4?")
    kinds = [data["type"] for data in told]
    assert not {"token", "tool_start"} & set(kinds)
    assert {"llm_start", "llm_end", "tool_end", "done"} < set(kinds)
    assert "100" in str(told[-1]["result"])


def test_the_role_is_what_the_agent_is_told(product: Product) -> None:
    told = ask(product, "/chat/stream", "Recommend something")
    assert "nothing but tests" in str(told[-1]["result"])


def test_a_tool_of_a_server_that_the_manifest_names_is_called(product: Product) -> None:
    wish = '[[tool=environment args={"names":["GIVEN","SECRET_KEY"]}]]'
    # The server may only just be starting.
    wait_for(
        lambda: "GIVEN=x, SECRET_KEY=None" in str(ask(product, "/chat/stream", wish)[-1]),
        timeout_s=30,
    )
    told = ask(product, "/chat/stream", "[[tool=clock]]")
    assert "clock is not a valid tool" in str(told[-1]["result"])
    assert "Traceback" not in product.log


def test_F24_what_is_switched_off_is_gone(product: Product) -> None:
    answer = httpx.post(f"{product.url}/agents/a/stream", json={
        "agent_id": "a", "message": "m", "response": "r"})  # fmt: skip
    assert answer.status_code == 404


def test_F29_pages_of_the_origins_that_it_names_may_ask(product: Product) -> None:
    origin = {"Origin": "http://localhost:3000"}
    answer = httpx.get(f"{product.url}/sessions", headers=origin)
    assert answer.headers["access-control-allow-origin"] == origin["Origin"]


def test_F24_methods_that_are_switched_off_are_gone(tmp_path: Path) -> None:
    off = MANIFEST.replace("endpoint: /api/stream", "enabled: false")
    path = tmp_path / "agent.ossa.yaml"
    path.write_text(off.replace("endpoint: /chat", "enabled: false"))
    with Product(tmp_path / "data", AGENT_MANIFEST=str(path)) as made:
        answer = httpx.get(f"{made.url}/chat/stream", params={"message": "Hi"})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        for place in ("/ws", "/chat/ws"):
            with pytest.raises(InvalidStatus) as refused:
                connect(made.url.replace("http", "ws", 1) + place)
            assert refused.value.response.status_code == 404


def test_C_2_a_wrong_manifest_is_refused_at_start(tmp_path: Path) -> None:
    path = tmp_path / "agent.ossa.yaml"
    path.write_text(MANIFEST.replace("provider: scripted", "temperature: 9"))
    told = subprocess.run(
        [sys.executable, "manage.py", "check"],
        env={**os.environ, "AGENT_MANIFEST": str(path), "DATA_DIR": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode != 0
    assert "agent.ossa.yaml: spec.llm.temperature: " in told.stderr
    assert "Traceback" not in told.stderr
