"""Runs of each kind, written down as the log has them, so that no test here needs a database."""

import pytest

from chat import events
from chat.events import Envelope
from chat.parts import TextPart

USAGE = {"prompt_tokens": 10, "completion_tokens": 2, "usage": {"input": 10, "output": 2}}


class Telling:
    """Writes a run down, event by event."""

    def __init__(self):
        self.log = []
        self.attempt = 0

    def say(self, *told):
        for event in told:
            at = f"2026-01-01T00:00:{len(self.log):02d}.000Z"
            self.log.append(
                Envelope(
                    seq=len(self.log) + 1,
                    session_id="s",
                    run_id="r",
                    attempt=self.attempt,
                    at=at,
                    type=event.type,
                    body=event.model_dump_json(),
                )
            )

    def ask(self, text="What is 25 * 4?"):
        self.say(
            events.RunQueued(model="scripted:demo"),
            events.MessageCompleted(message_id="q", role="user", parts=[TextPart(text=text)]),
        )
        self.attempt = 1
        self.say(events.RunStarted(model="scripted:demo"))
        self.say(events.MessageStarted(message_id="a", role="assistant"))

    def call(self, *pieces, cost="0.000001"):
        """A model call that says these pieces; the cost rises with each."""
        self.say(events.ModelCallStarted(call_id="c", provider="scripted", model="demo"))
        for number, piece in enumerate(pieces, start=1):
            told = {"message_id": "a", "part": 0, "tokens": number, "cost": f"0.00000{number}"}
            self.say(events.TextDelta(delta=piece, **told))

    def end_call(self, *, total="0.000009"):
        self.say(
            events.CostUpdated(total=total, estimated=False, prompt_tokens=10, completion_tokens=2),
            events.ModelCallFinished(
                call_id="c", status="complete", cost=total, is_estimated=False, **USAGE
            ),
        )

    def use_tool(self, *, fails=False):
        where = {"message_id": "a", "part": 0, "tool_call_id": "t", "name": "calculator"}
        self.say(events.ToolCallStarted(**where))
        self.say(events.ToolCallEnded(**where, arguments={"expression": "25 * 4"}))
        self.end_call(total="0.000004")
        if fails:
            self.say(events.ToolFailed(**where, error="division by zero"))
        else:
            self.say(events.ToolResult(**where, content="100"))

    def told_by(self, encoder):
        return [frame for envelope in self.log for frame in encoder.encode(envelope)]


@pytest.fixture
def run():
    """A run that asks a question."""
    made = Telling()
    made.ask()
    return made


@pytest.fixture
def finished(run):
    """One that used a tool and answered."""
    run.call()
    run.use_tool()
    run.call("It ", "is 100.")
    run.end_call()
    run.say(events.RunFinished())
    return run


@pytest.fixture
def failed(run):
    """One whose provider broke off in the middle."""
    run.call("It ")
    run.end_call()
    run.say(events.RunFailed(code="timeout", message="The provider fell silent."))
    return run


@pytest.fixture
def retracted(run):
    """One that another worker began anew after some text, and finished."""
    run.call("It ")
    run.attempt = 2
    run.say(events.AttemptStarted(replaces=1))
    run.call("It is 100.")
    run.say(events.RunFinished())
    return run
