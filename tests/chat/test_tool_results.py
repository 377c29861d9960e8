"""Whatever a tool does, the model is told of it and the run goes on."""

import asyncio

import pytest
from langchain_core.tools import tool
from langgraph.config import get_stream_writer

from chat.agent import agent
from chat.agent.tools import TOOLS
from chat.models import Run
from tests import driving, invariants

pytestmark = pytest.mark.django_db(transaction=True)

CIRCULAR: list[object] = []
CIRCULAR.append(CIRCULAR)
#: What no JSON text, no database or no model takes as it is.
ODD = {
    "bytes": b"\xff\x00",
    "nan": float("nan"),
    "none": None,
    "circular": CIRCULAR,
    "object": object(),
    "nul": "a\0b",
    "surrogate": "a\ud800b",
    "keys": {(1, 2): {3}},
    "large": "x" * 10_000_000,
}


@pytest.fixture
def call(worker, session, monkeypatch):
    """Lets the model call a tool that does this; gives what was told of the call."""

    def make(function):
        monkeypatch.setitem(TOOLS, "odd", tool("odd", description="Odd.")(function))
        worker.execute(driving.send(session, "[[tool=odd args={} delay_ms=0]]").run_id)
        assert Run.objects.get().status == "finished"
        invariants.check_session(session)
        log = [envelope.event for envelope in driving.log_of(session)]
        (told,) = [event for event in log if event.type in ("tool.result", "tool.failed")]
        return told

    return make


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_M_8_any_result_of_a_tool_is_a_text_of_some_length(call, value):
    async def odd():
        return value

    told = call(odd)
    assert len(told.content if told.type == "tool.result" else told.error) < 21_000


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_M_8_a_tool_may_write_anything_to_the_stream(call, value):
    async def odd():
        get_stream_writer()({"name": "odd", "data": value})
        return "written"

    assert call(odd).content == "written"


def test_M_8_M_11_an_error_in_a_tool_tells_the_model_no_details(call):
    async def odd():
        raise RuntimeError("sk-secret")

    told = call(odd)
    assert told.type == "tool.failed"
    assert "sk-secret" not in told.error


def test_M_8_a_tool_that_hangs_is_left(call, monkeypatch):
    monkeypatch.setattr(agent, "TOOL_LIMIT_S", 0.1)

    async def odd():
        await asyncio.Event().wait()

    assert call(odd).type == "tool.failed"
