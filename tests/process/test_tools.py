"""Tool calls of a model, also wrong ones, and a model that never stops calling."""

import json

import pytest

from tests.fakes.provider import FakeProvider
from tests.process.client import Client, Json, check_order, is_terminal

pytestmark = pytest.mark.process


def of_type(events: list[Json], *types: str) -> list[Json]:
    return [event for event in events if event["type"] in types]


def ask(client: Client, wish: str) -> tuple[Json, list[Json]]:
    """Ask for an answer; gives the run and its events, in which each call has one result."""
    run = client.ask(f"[[fake {wish}]]")
    events = client.events_of(run)
    check_order(events)
    called = [event["tool_call_id"] for event in of_type(events, "tool_call.started")]
    results = of_type(events, "tool.result", "tool.failed")
    assert sorted(called) == sorted(event["tool_call_id"] for event in results)
    return run, events


def test_a_tool_call_and_its_result(client: Client, provider: FakeProvider) -> None:
    run, events = ask(client, 'tool=calculator args={"expression":"6*7"} cut=1')
    assert run["status"] == "finished"
    (ended,) = of_type(events, "tool_call.ended")
    assert (ended["name"], ended["arguments"]) == ("calculator", {"expression": "6*7"})
    written = "".join(event["delta"] for event in of_type(events, "tool_call.delta"))
    assert json.loads(written) == {"expression": "6*7"}
    (result,) = of_type(events, "tool.result")
    assert (result["content"], result["tool_call_id"]) == ("42", ended["tool_call_id"])
    assert client.answer_of(run) == provider.requests[-1].text_sent == "The result is 42."


def test_several_calls_at_once(client: Client, provider: FakeProvider) -> None:
    run, events = ask(
        client,
        'tool=calculator args={"expression":"1+1"} tool=clock args={"time_zone":"UTC"} '
        'tool=calculator args={"expression":"2+3"}',
    )
    assert run["status"] == "finished"
    arguments = [event["arguments"] for event in of_type(events, "tool_call.ended")]
    assert arguments == [{"expression": "1+1"}, {"time_zone": "UTC"}, {"expression": "2+3"}]
    results = {e["tool_call_id"]: e["content"] for e in of_type(events, "tool.result")}
    order = [event["tool_call_id"] for event in of_type(events, "tool_call.started")]
    assert [results[order[0]], results[order[2]]] == ["2", "5"]
    assert "UTC" in results[order[1]]
    sent = [m for m in provider.requests[-1].request["messages"] if m["role"] == "tool"]
    assert {m["tool_call_id"]: m["content"] for m in sent} == results


@pytest.mark.parametrize(
    "wish",
    [
        'tool=calculator args={"expression":"1/0"}',
        'tool=calculator args={"expression":"__import__(1)"}',
        "tool=calculator args={}",
        'tool=calculator args={"expression":{"deep":[1]}}',
        "tool=no_such_tool args={}",
        'tool=calculator args=\'{"expression": "1+\'',
        "tool=calculator args='[1, 2]'",
        "tool=calculator args='not JSON'",
    ],
)
def test_M_4_M_5_M_9_a_wrong_call_is_told_to_the_model(
    client: Client, provider: FakeProvider, wish: str
) -> None:
    run, events = ask(client, wish)
    assert run["status"] == "finished"
    (failed,) = of_type(events, "tool.failed")
    assert "Traceback" not in failed["error"]
    sent = [m for m in provider.requests[-1].request["messages"] if m["role"] == "tool"]
    assert [m["tool_call_id"] for m in sent] == [failed["tool_call_id"]]


def test_M_9_each_of_several_calls_is_answered_also_a_malformed_one(
    client: Client, provider: FakeProvider
) -> None:
    ask(client, """tool=calculator args={"expression":"1+1"} tool=calculator args='not JSON'""")
    messages = provider.requests[-1].request["messages"]
    called = [call["id"] for m in messages for call in m.get("tool_calls") or []]
    answered = [m["tool_call_id"] for m in messages if m["role"] == "tool"]
    # OpenAI refuses a request in which a call has no result.
    assert len(called) == 2
    assert sorted(answered) == sorted(called)


def test_M_9_a_model_that_only_calls_tools_is_stopped(
    client: Client, provider: FakeProvider
) -> None:
    before = len(provider.requests)
    run, events = ask(client, 'tool=calculator args={"expression":"1+1"} tool_forever=1')
    assert (run["status"], run["error"]["code"]) == ("failed", "step_limit")
    assert sum(is_terminal(event) for event in events) == 1
    made = provider.requests[before:]
    assert len(made) == len(run["calls"]) < 30
    assert run["usage"]["prompt_tokens"] == sum(r.usage_sent["prompt_tokens"] for r in made)


def test_a_conversation_goes_on_after_tool_calls(client: Client, provider: FakeProvider) -> None:
    session_id = client.new_session()
    client.ask('[[fake tool=calculator args={"expression":"6*7"}]]', session_id=session_id)
    run = client.ask("[[fake echo=1]]", session_id=session_id)
    assert run["status"] == "finished"
    roles = [message["role"] for message in provider.requests[-1].request["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]
