"""The Python clients of the five documents run as they stand there."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.documented import snippet
from tests.process.client import Client
from tests.process.product import ROOT, Product

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
