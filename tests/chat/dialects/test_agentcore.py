"""Seed 3: named events with flat data, memory by session and actor, and the blocking answer."""

import json

import pytest

from chat.models import ChatSession
from tests.chat.dialects.asking import Request, call, events_in

pytestmark = pytest.mark.django_db(transaction=True)

#: Slow enough for each token to be told by itself.
THREE = "[[tokens=3 delay_ms=80]]"


async def ask(path="/stream", prompt=THREE, **payload):
    body = {"prompt": prompt, "session_id": "my-session", **payload}
    async with Request(path, body=body) as request:
        return request, await request.read()


async def test_F40_a_stream_tells_steps_from_the_prompt_to_the_output(ringing):
    request, text = await ask()
    assert request.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    told = events_in(text)
    names = [event["event"] for event in told]
    assert names == ["agent_start", "agent_step", "llm_start", "llm_end", "agent_step", "agent_end"]
    start = told[0]["data"]
    assert (start["session_id"], start["actor_id"]) == ("my-session", "default-actor")
    assert start["timestamp"].endswith("Z")
    assert told[1]["data"]["type"] == "human"
    assert told[-1]["data"]["output"] == "w0 w1 w2 "


async def test_F41_invoke_streams_when_it_is_asked_to(ringing):
    names = [[e["event"] for e in events_in(text)] for _, text in
             [await ask("/stream"), await ask("/invoke", stream=True)]]  # fmt: skip
    assert names[0] == names[1]


async def test_F41_invoke_gives_the_whole_answer_else(ringing):
    body = {"prompt": "What is 25 * 4?", "session_id": "my-session"}
    status, answer = await call("/invoke", body=body)
    assert status == 200
    assert answer["output"] == answer["response"]
    assert "100" in answer["output"]
    assert (answer["session_id"], answer["actor_id"]) == ("my-session", "default-actor")
    assert (answer["steps"], answer["metrics"]["tool_calls"]) == (4, 1)


@pytest.mark.parametrize("streams_tokens", [True, False])
async def test_F42_tokens_are_told_to_those_who_want_them(ringing, streams_tokens):
    _, text = await ask(stream_tokens=streams_tokens)
    tokens = [e["data"]["token"] for e in events_in(text) if e["event"] == "llm_token"]
    assert "".join(tokens) == ("w0 w1 w2 " if streams_tokens else "")


async def test_F43_F44_a_sum_takes_four_steps_and_one_tool(ringing):
    _, text = await ask(prompt="What is 25 * 4?")
    told = events_in(text)
    steps = [e["data"] for e in told if e["event"] == "agent_step"]
    assert [step["type"] for step in steps] == ["human", "ai", "tool", "ai"]
    assert [step["step"] for step in steps] == [1, 2, 3, 4]
    assert all(isinstance(step["content"], str) for step in steps)
    end = told[-1]["data"]
    assert (end["steps"], end["metrics"]["tool_calls"], end["metrics"]["errors"]) == (4, 1, 0)
    assert end["metrics"]["tokens"] > 0
    tools = {e["event"]: e["data"] for e in told if e["event"].startswith("tool")}
    assert tools["tool_start"]["tool"] == "calculator"
    assert tools["tool_end"]["output"] == "100"


async def test_F45_memory_goes_by_session_and_actor(ringing):
    await ask(prompt="My name is Alice")
    outputs = []
    for who in ({}, {"session_id": "another"}, {"actor_id": "user-123"}):
        _, text = await ask(prompt="What's my name?", **who)
        outputs.append(events_in(text)[-1]["data"]["output"])
    assert ["Alice" in output for output in outputs] == [True, False, False]


async def test_F45_memory_is_the_same_on_all_endpoints(ringing):
    await ask(prompt="My name is Alice")
    body = {"message": "What's my name?", "session_id": "my-session"}
    _, answer = await call("/chat", body=body)
    assert "Alice" in answer["response"]


async def test_F47_a_failure_is_the_last_event(ringing):
    _, text = await ask(prompt="[[tokens=5 delay_ms=0 fail=unavailable fail_after=2]]")
    last = events_in(text)[-1]
    assert last["event"] == "error"
    assert set(last["data"]) == {"error", "type", "timestamp"}


async def test_F48_a_silent_stream_has_heartbeats(ringing, monkeypatch):
    monkeypatch.setattr("chat.asking.SILENCE_S", 0.02)
    _, text = await ask(prompt="[[tokens=2 delay_ms=400]]")
    beats = [e["data"] for e in events_in(text) if e["event"] == "heartbeat"]
    assert beats
    assert all(set(beat) == {"timestamp"} for beat in beats)


async def test_F49_each_event_is_a_name_and_one_line_of_data_in_one_chunk(ringing, monkeypatch):
    monkeypatch.setattr("chat.asking.SILENCE_S", 0.02)
    prompt = '[[text="a\\n\\nevent: agent_end\\ndata: {}\\n\\n\\r\\u2028" delay_ms=200]]'
    request, _ = await ask(prompt=prompt, stream_tokens=True)
    for chunk in request.chunks:
        if chunk.startswith(": "):
            continue
        name, data, place, *rest = chunk.split("\n")
        assert name.startswith("event: ")
        assert json.loads(data.removeprefix("data: "))
        assert place.startswith("id: ") or name == "event: heartbeat"
        assert not "".join(rest)


async def test_F40_invocations_say_the_same_as_JSON_strings(ringing):
    assert await call("/invocations", body={"prompt": THREE}) == (200, "w0 w1 w2 ")
    async with Request("/invocations", body={"prompt": THREE, "stream": True}) as request:
        text = await request.read()
    lines = [line for line in text.split("\n") if line.startswith("data: ")]
    inner = "".join(json.loads(line.removeprefix("data: ")) for line in lines)
    assert events_in(inner)[-1]["event"] == "agent_end"


async def test_the_runtime_s_ping_is_answered(transactional_db):
    status, pong = await call("/ping")
    assert (status, pong["status"]) == (200, "Healthy")
    assert isinstance(pong["time_of_last_update"], int)


@pytest.mark.parametrize("body", [{}, {"prompt": ""}, {"prompt": 1}, {"prompt": "x" * 40_000}])
async def test_a_payload_without_a_prompt_is_refused(ringing, body):
    assert (await call("/stream", body=body))[0] == 422


async def test_F55_a_GET_with_a_prompt_is_told_the_same(ringing):
    async with Request("/stream", prompt=THREE, session_id="my-session") as request:
        told = events_in(await request.read())
    assert told[-1]["event"] == "agent_end"


async def test_F46_preferences_are_kept_until_others_are_given(ringing):
    outputs = []
    for given in ({"preferences": {"genre": "sci-fi"}}, {}, {"preferences": {"genre": "noir"}}):
        _, text = await ask(prompt="Recommend a movie", custom_data={"user_id": "123"}, **given)
        outputs.append(events_in(text)[-1]["data"]["output"])
    assert ["sci-fi" in outputs[0], "sci-fi" in outputs[1], "noir" in outputs[2]] == [True] * 3
    session = await ChatSession.objects.aget()
    assert session.context == {
        "user_preferences": {"genre": "noir"}, "custom_data": {"user_id": "123"},
    }  # fmt: skip


async def test_F46_another_session_does_not_know_them(ringing):
    await ask(prompt="Recommend a movie", preferences={"genre": "sci-fi"})
    _, text = await ask(prompt="Recommend a movie", session_id="another")
    assert "sci-fi" not in events_in(text)[-1]["data"]["output"]


@pytest.mark.parametrize(
    "given",
    [
        {"preferences": {"x": "y" * 10_000}},
        {"preferences": []},
        {"browsing_history": {}},
        {"browsing_history": ["x"] * 10_000},
    ],
)
async def test_R_14_too_much_or_other_data_is_refused(ringing, given):
    body = {"prompt": THREE, **given}
    assert (await call("/stream", body=body))[0] == 422
