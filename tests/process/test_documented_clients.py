"""The Python clients of the five documents run as they stand there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.documented import snippet
from tests.process.client import Client
from tests.process.product import ROOT, Product, wait_for

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("scripted") / "data", LLM_PROVIDER="scripted") as started:
        yield started


def run(code: str, **environment: str) -> str:
    """Run a client to its end; gives what it printed."""
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_F01_the_first_document_s_stream(scripted: Product) -> None:
    code = snippet(1, "python", 1, base_url=scripted.url)
    told = run(f'{code}\nimport asyncio\nasyncio.run(stream_chat_sse("What is 25 * 4?"))')
    assert told.count("100") == 2
    assert "\n\nComplete: " in told


def test_F13_the_first_document_s_socket(scripted: Product) -> None:
    told = run(snippet(1, "python", 2, base_url=scripted.url))
    streamed, _, result = told.strip().partition("\n\nComplete: ")
    assert streamed == result


def test_F40_the_third_document_s_stream(scripted: Product) -> None:
    code = snippet(3, "python", 6, base_url=scripted.url)
    told = run(f"{code}\nimport asyncio\nasyncio.run(stream_request())")
    names = [line.partition("]")[0].strip("[") for line in told.splitlines()]
    assert (names[0], names[-1]) == ("agent_start", "agent_end")
    assert names.count("agent_step") == 4


def test_F60_the_fourth_document_s_stream(scripted: Product) -> None:
    code = snippet(4, "python", 1, base_url=scripted.url)
    told = run(f'{code}\nimport asyncio\nasyncio.run(stream_command("open the page"))')
    lines = told.splitlines()
    assert lines[0].startswith("Event: {'type': 'start'")
    assert lines[-1].startswith("Event: {'type': 'complete'")


def test_F66_the_same_client_runs_while_redis_is_restarted(scripted: Product) -> None:
    code = snippet(1, "python", 1, base_url=scripted.url)
    story = 'asyncio.run(stream_chat_sse("Tell me a very long story"))'
    command = [sys.executable, "-c", f"{code}\nimport asyncio\n{story}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.read(40).startswith("Once upon a time")
        scripted.kill("valkey")
        rest = child.stdout.read()
    assert child.returncode == 0
    assert "\n\nComplete: Once upon a time" in rest


def test_the_blocking_answer_is_there_for_programs(scripted: Product) -> None:
    client = Client(scripted)
    answer = client.http.post("/invoke", json={"prompt": "What is 25 * 4?"}).json()
    client.close()
    assert (answer["steps"], answer["metrics"]["tool_calls"]) == (4, 1)


def imported(product: Product) -> dict[str, str]:
    """The environment of a program that imports the old names."""
    return {"PYTHONPATH": str(ROOT / "chat" / "compat"), "CHATLEDGER_URL": product.url}


def test_F50_the_third_document_s_agent_is_imported_and_streams(scripted: Product) -> None:
    told = run(snippet(3, "python", 1, base_url=scripted.url), **imported(scripted))
    assert told.startswith("event: agent_start\n")
    assert "100" in told


def test_F50_the_third_document_s_agent_is_imported_and_invoked(scripted: Product) -> None:
    told = run(snippet(3, "python", 2, base_url=scripted.url), **imported(scripted))
    assert "100" in told


def test_F45_the_third_document_s_agent_remembers(scripted: Product) -> None:
    code = snippet(3, "python", 4, base_url=scripted.url).replace(
        "pass  # Agent", "print(event)  #"
    )
    body = "".join(f"    {line}\n" for line in code.splitlines())
    start = "import asyncio\nfrom bedrock.agent_runtime import stream_agent\n"
    told = run(f"{start}async def main():\n{body}\nasyncio.run(main())", **imported(scripted))
    assert "Alice" in told


def test_F22_the_first_document_s_agent_streams_to_a_mesh(scripted: Product) -> None:
    code = snippet(1, "python", 3, base_url=scripted.url)
    told = run(f"{code}\nimport asyncio\nasyncio.run(main())", **imported(scripted))
    assert told == "Streamed to mesh: True\n"
    client = Client(scripted)
    (kept,) = client.http.get("/agents/production-streaming-agent/stream").json()["items"]
    client.close()
    assert set(kept) > {"agent_id", "message", "response", "target_agent", "timestamp"}
    tokens = [event["token"] for event in kept["streaming_events"] if event["type"] == "token"]
    assert "".join(tokens) == kept["response"] == kept["streaming_events"][-1]["result"]


def test_F22_a_mesh_that_refuses_is_no_success(scripted: Product) -> None:
    code = snippet(1, "python", 3, base_url=f"{scripted.url}/nowhere")
    told = run(f"{code}\nimport asyncio\nasyncio.run(main())", **imported(scripted))
    assert told == "Streamed to mesh: False\n"


SOCKETS = """
import asyncio, json
from agent import create_agent
from streaming import ConnectionManager, get_streaming_config, stream_sse, stream_websocket

class Socket:
    def __init__(self, *said):
        self.said, self.heard, self.streaming = list(said), [], asyncio.Event()
    async def accept(self):
        self.heard.append("accepted")
    async def receive_json(self):
        if not self.said:
            await asyncio.Event().wait()
        await self.streaming.wait()
        self.streaming.clear()
        return self.said.pop(0)
    async def send_json(self, event):
        self.heard.append(event)
        if event["type"] in ("connected", "token", "done"):
            self.streaming.set()

async def main():
    agent, manager = create_agent(), ConnectionManager()
    tracker = manager.get_cost_tracker("sse")
    text = [block async for block in stream_sse("What is 25 * 4?", agent, "sse", tracker)]
    stopped = Socket({"message": "A very long story"}, {"type": "cancel"})
    answered = Socket({"message": "What is 6 * 7?"})
    for name, socket, kind in (("a", stopped, "cancelled"), ("b", answered, "done")):
        serving = asyncio.create_task(stream_websocket(socket, agent, name, manager))
        while not any(kind == event["type"] for event in socket.heard[1:]):
            await asyncio.sleep(0.02)
        await manager.broadcast({"type": "news"})
        costs = manager.get_cost_tracker(name).get_summary()
        serving.cancel()
        await asyncio.wait({serving})
    print(json.dumps([text, tracker.get_summary(), stopped.heard, answered.heard, costs,
                      list(manager.active_connections), get_streaming_config()]))

asyncio.run(main())
"""


def test_F19_F50_programs_that_serve_sockets_let_the_product_answer(scripted: Product) -> None:
    told = json.loads(run(SOCKETS, **imported(scripted)))
    text, summary, stopped, answered, costs, left, config = told
    assert text[0].startswith("data: ")
    done = json.loads(text[-1].split("\n")[0].removeprefix("data: "))
    assert "100" in done["result"]
    assert summary == done["cost_summary"]
    kinds = [event["type"] for event in stopped[1:]]
    assert (kinds[0], kinds.count("cancelled"), kinds[-1]) == ("connected", 1, "news")
    assert "done" not in kinds, stopped[-6:]
    assert "42" in next(event for event in answered[1:] if event["type"] == "done")["result"]
    assert costs["total_tokens"] > 0
    assert left == []
    assert config == {"sse_enabled": True, "websocket_enabled": True, "a2a_enabled": True}
    client = Client(scripted)
    wait_for(lambda: not client.get("/api/sessions/a")["active_run_id"])
    client.close()
