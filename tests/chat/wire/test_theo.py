"""AgentTheo's dialect: three modes, both spellings."""

import json

import pytest

from chat import events
from chat.wire.theo import RETRY_MS, TheoEncoder


def told(run, mode="messages"):
    frames = run.told_by(TheoEncoder(message_id="m1", mode=mode))
    return [(frame.name, json.loads(frame.text)) for frame in frames]


def names(frames):
    return [name for name, _ in frames]


def test_F60_a_run_is_told_from_start_to_complete(finished):
    frames = told(finished)
    assert names(frames) == [
        *("start", "status", "tool_start", "tool_end", "token", "token", "complete")
    ]
    start, complete = frames[0][1], frames[-1][1]
    assert (start["command"], start["stream_mode"]) == ("What is 25 * 4?", "messages")
    assert complete["result"] == complete["content"] == "It is 100."
    assert complete["summary"]["tokens_streamed"] == 2
    assert complete["summary"]["messageId"] == "m1"


def test_F60_an_event_says_when_to_come_back(finished):
    frame = finished.told_by(TheoEncoder(message_id="m1", mode="messages"))[0]
    assert frame.as_sse(event_id="e", retry_ms=RETRY_MS).endswith("\nid: e\nretry: 15000\n\n")


def test_F61_fields_have_both_spellings(finished):
    frames = dict(told(finished))
    token = frames["token"]
    assert token["token"] == token["content"]
    assert token["metadata"] == {"messageId": "m1", "count": 2}
    begun, ended = frames["tool_start"], frames["tool_end"]
    assert begun["tool"] == begun["tool_name"] == ended["tool"] == ended["tool_name"]
    assert begun["input"] == begun["tool_input"] == {"expression": "25 * 4"}
    assert ended["output"] == ended["tool_output"] == "100"


def test_F62_progress_has_a_share(run):
    run.say(events.Progress(step=1, total=4, message="Reading"))
    run.say(events.StepCompleted(node="model"))
    (_, told_one), (_, counted) = [frame for frame in told(run) if frame[0] == "progress"]
    assert (told_one["step"], told_one["total"], told_one["percentage"]) == (1, 4, 25)
    assert (counted["step"], counted["total"], counted["percentage"]) == (1, 10, 10)


@pytest.mark.parametrize(
    ("mode", "missing"),
    [("messages", set()), ("updates", {"token"}), ("custom", {"token", "tool_start", "tool_end"})],
)
def test_F63_each_mode_tells_something_else(finished, mode, missing):
    assert set(names(told(finished))) - set(names(told(finished, mode))) == missing
    assert told(finished, mode)[-1][1]["result"] == "It is 100."


def test_a_failure_is_an_error_under_every_name(failed):
    name, data = told(failed)[-1]
    assert name == "error"
    assert data["message"] == data["content"] == data["error"] == "The provider fell silent."
    assert (data["type"], data["traceback"]) == ("TimeoutError", None)


def test_G9b_what_cannot_be_taken_back_ends_interrupted(retracted):
    assert told(retracted)[-1][1]["type"] == "Interrupted"
