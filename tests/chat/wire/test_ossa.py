"""OSSA's dialect: what its clients read, in the order they read it."""

import json

import pytest

from chat import events
from chat.wire import ossa
from chat.wire.ossa import OssaEncoder


def told(run, **options):
    frames = run.told_by(OssaEncoder(**options))
    assert all(frame.name is None for frame in frames)
    return [json.loads(frame.text) for frame in frames]


def types(frames):
    return [frame["type"] for frame in frames]


def test_F04_a_run_is_told_in_this_order(finished):
    assert types(told(finished)) == [
        *("llm_start", "llm_end", "tool_start", "tool_end"),
        *("llm_start", "token", "token", "llm_end", "done"),
    ]


def test_F04_the_tokens_are_the_result(finished):
    frames = told(finished)
    tokens = [frame["token"] for frame in frames if frame["type"] == "token"]
    assert "".join(tokens) == frames[-1]["result"] == frames[-2]["full_response"]
    assert frames[4]["prompts"] == ["What is 25 * 4?"]
    assert frames[4]["model"] == "demo"


def test_F05_tokens_are_counted_and_cost_more_and_more(finished):
    tokens = [frame for frame in told(finished) if frame["type"] == "token"]
    assert [frame["token_count"] for frame in tokens] == [1, 2]
    costs = [frame["cost"] for frame in tokens]
    assert costs == sorted(costs)
    assert all(isinstance(cost, float) and cost > 0 for cost in costs)


def test_F06_a_cost_summary_has_five_numbers(finished):
    for frame in told(finished):
        if frame["type"] in ("llm_end", "done"):
            summary = frame["cost_summary"]
            assert list(summary) == [
                *("total_tokens", "prompt_tokens", "completion_tokens", "total_cost", "model")
            ]
            assert summary["total_tokens"] == 12 or frame is not told(finished)[-1]
    assert told(finished)[-1]["cost_summary"]["total_cost"] == 0.000009


def test_F08_a_tool_that_fails_does_not_end_the_stream(run):
    run.call()
    run.use_tool(fails=True)
    run.call("Sorry.")
    run.end_call()
    run.say(events.RunFinished())
    frames = told(run)
    failed = next(frame for frame in frames if frame["type"] == "tool_error")
    assert (failed["error"], failed["error_type"]) == ("division by zero", "ToolError")
    assert frames[-1]["type"] == "done"


def test_F09_a_failure_ends_with_an_error_and_nothing_else(failed):
    frames = told(failed)
    assert types(frames)[-1] == "error"
    assert frames[-1]["error_type"] == "TimeoutError"
    assert "done" not in types(frames)


def test_F14_a_cancel_is_one_frame(run):
    run.call("It ")
    run.end_call()
    run.say(events.RunCancelled())
    assert types(told(run))[-1] == "cancelled"


def test_G9b_what_cannot_be_taken_back_ends_interrupted(retracted):
    frames = told(retracted)
    assert types(frames) == ["llm_start", "token", "error"]
    assert frames[-1]["error_type"] == "Interrupted"


def test_G9b_another_attempt_before_the_first_token_is_not_seen(run):
    run.call()
    run.attempt = 2
    run.say(events.AttemptStarted(replaces=1))
    run.call("Hi")
    run.end_call()
    run.say(events.RunFinished())
    assert told(run)[-1]["result"] == "Hi"


@pytest.mark.parametrize("silent", ["llm_start", "token", "llm_end", "tool_start", "tool_end"])
def test_F26_a_callback_that_is_off_takes_away_its_event_and_nothing_else(finished, silent):
    frames = told(finished, silent=frozenset({silent}))
    assert types(frames) == [kind for kind in types(told(finished)) if kind != silent]
    assert frames[-1]["result"] == "It is 100."


def test_T2_a_frame_is_one_unnamed_line():
    text = ossa.connected("s").as_sse(event_id="r:1")
    assert text.startswith('data: {"type":"connected"')
    assert text.endswith("\nid: r:1\n\n")
