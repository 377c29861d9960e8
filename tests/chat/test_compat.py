"""The names that older programs import: buffers, events, handlers."""

import asyncio
import importlib
import json
from pathlib import Path

import pytest

COMPAT = Path(__file__).resolve().parents[2] / "chat" / "compat"


@pytest.fixture
def named(monkeypatch):
    """Import a module as a program does that has the folder in its path."""
    monkeypatch.syspath_prepend(str(COMPAT))
    return importlib.import_module


@pytest.mark.parametrize("size", [None, 3])
def test_F51_a_buffer_gives_what_it_has_when_it_is_full(named, size):
    utils = named("streaming_utils")
    buffer = utils.TokenBuffer(buffer_size=size) if size else utils.TokenBuffer()
    size = size or 5
    given = [buffer.add(f"t{number} ") for number in range(size)]
    assert given[:-1] == [None] * (size - 1)
    assert given[-1] == "".join(f"t{number} " for number in range(size))
    assert buffer.add("x") is None
    assert (buffer.flush(), buffer.flush()) == ("x", "")


def test_F50_an_event_is_text_and_an_object(named):
    event = named("streaming_utils").format_sse_event("llm_token", {"token": "Hi"})
    assert event == 'event: llm_token\ndata: {"token": "Hi"}\n\n'
    assert "llm_token" in event
    assert (event.type, event.data["token"]) == ("llm_token", "Hi")


def test_F50_the_names_of_events_are_written_small(named):
    utils = named("streaming_utils")
    made = utils.StreamEvent(utils.StreamEventType.AGENT_START, {"session_id": "s"})
    assert made.to_sse().startswith("event: agent_start\n")
    assert json.loads(made.to_json())["type"] == made.to_dict()["type"] == "agent_start"


async def test_F50_silence_has_heartbeats(named):
    async def slow():
        yield "a"
        await asyncio.sleep(0.25)
        yield "b"

    utils = named("streaming_utils")
    told = [event async for event in utils.stream_with_heartbeat(slow(), heartbeat_interval=0.1)]
    assert (told[0], told[-1]) == ("a", "b")
    assert {event.type for event in told[1:-1]} == {"heartbeat"}


async def test_F50_handlers_count_and_fill_a_queue(named):
    queue = asyncio.Queue()
    metrics, queued = named("callbacks").create_callbacks(event_queue=queue)
    for handler in (metrics, queued):
        await handler.on_llm_start({"name": "m"}, ["Hi"])
        await handler.on_llm_new_token("a")
        await handler.on_tool_start({"name": "calculator"}, "1+1")
        await handler.on_tool_error(ValueError("no"))
    counts = metrics.get_metrics()
    assert (counts["tokens"], counts["tool_calls"], counts["errors"]) == (1, 1, 1)
    assert counts["end_time"] >= counts["start_time"]
    kinds = [queue.get_nowait().event_type for _ in range(queue.qsize())]
    assert kinds == ["llm_start", "llm_token", "tool_start", "error"]


class Agent:
    def __init__(self, *, fails=False):
        self._fails = fails

    async def arun(self, message, callbacks):
        for callback in callbacks:
            await callback.on_llm_new_token("It ")
            await callback.on_llm_new_token("is.")
        if self._fails:
            raise RuntimeError("broken")
        return "It is."


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "gopher://x", "not a url", "http://["])
async def test_F22_a_mesh_that_is_not_there_is_no_success(named, url):
    told = await named("streaming").stream_a2a("a", "m", Agent(), mesh_url=url)
    assert told["success"] is False
    assert told["error"]


async def test_F22_an_agent_that_fails_posts_nothing(named):
    told = await named("streaming").stream_a2a("a", "m", Agent(fails=True))
    assert told == {"success": False, "error": "broken"}
