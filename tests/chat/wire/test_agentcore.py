"""AgentCore's dialect: named events, steps and metrics."""

import json

import pytest

from chat import events
from chat.wire.agentcore import AgentCoreEncoder


def told(run, *, streams_tokens=False):
    encoder = AgentCoreEncoder(session_id="s", actor_id="me", streams_tokens=streams_tokens)
    return [(frame.name, json.loads(frame.text)) for frame in run.told_by(encoder)]


def names(frames):
    return [name for name, _ in frames]


def test_F40_a_run_begins_with_the_human_and_ends_with_the_agent(finished):
    frames = told(finished)
    assert names(frames)[:2] == ["agent_start", "agent_step"]
    assert names(frames)[-1] == "agent_end"
    assert frames[0][1]["actor_id"] == "me"
    assert frames[-1][1]["output"] == "It is 100."


@pytest.mark.parametrize("streams_tokens", [True, False])
def test_F42_tokens_come_only_when_they_are_asked_for(finished, streams_tokens):
    tokens = [
        data for name, data in told(finished, streams_tokens=streams_tokens) if name == "llm_token"
    ]
    expected = [{"token": "It ", "index": 0}, {"token": "is 100.", "index": 1}]
    assert tokens == (expected if streams_tokens else [])


def test_F43_a_tool_makes_four_steps(finished):
    frames = told(finished)
    steps = [data for name, data in frames if name == "agent_step"]
    assert [step["type"] for step in steps] == ["human", "ai", "tool", "ai"]
    assert [step["step"] for step in steps] == [1, 2, 3, 4]
    assert frames[-1][1]["steps"] == 4


def test_F44_the_end_tells_what_it_took(finished):
    metrics = told(finished)[-1][1]["metrics"]
    assert (metrics["tokens"], metrics["tool_calls"], metrics["errors"]) == (2, 1, 0)
    assert metrics["start_time"] < metrics["end_time"]


def test_F47_a_failure_is_an_error_with_its_type(failed):
    name, data = told(failed)[-1]
    assert name == "error"
    assert set(data) == {"error", "type", "timestamp"}
    assert data["type"] == "TimeoutError"


def test_F49_no_data_is_empty_or_of_several_lines(run):
    run.call("a\n\nb\r", "\u2028")
    run.end_call()
    run.say(events.RunFinished())
    encoder = AgentCoreEncoder(session_id="s", actor_id="me", streams_tokens=True)
    for frame in run.told_by(encoder):
        event, data, *rest = frame.as_sse(event_id="r:1").split("\n")
        assert event == f"event: {frame.name}"
        assert json.loads(data.removeprefix("data: "))
        assert rest == ["id: r:1", "", ""]


def test_G9b_what_cannot_be_taken_back_ends_interrupted(retracted):
    frames = told(retracted, streams_tokens=True)
    assert frames[-1][0] == "error"
    assert frames[-1][1]["type"] == "Interrupted"
