"""Seed 4: a command, its messageId, and three ways to be told."""

import pytest

from chat.models import Run
from tests.chat.dialects.asking import Request, call, events_in

pytestmark = pytest.mark.django_db(transaction=True)

#: Slow enough for each token to be told by itself.
THREE = "[[tokens=3 delay_ms=80]]"


async def ask(command=THREE, **query):
    query = {"messageId": "test", **query}
    async with Request("/stream", command=command, **query) as request:
        return await request.read()


async def test_F60_a_command_is_told_from_start_to_complete(ringing):
    text = await ask()
    told = events_in(text)
    names = [event["event"] for event in told]
    assert names[:2] == ["start", "status"]
    assert names[-1] == "complete"
    assert names.count("token") == 3
    assert told[0]["data"]["command"] == THREE
    assert told[-1]["data"]["result"] == "w0 w1 w2 "
    for block in text.strip().split("\n\n"):
        assert {line.partition(":")[0] for line in block.split("\n")} == {
            "event", "data", "id", "retry",
        }  # fmt: skip
    assert "retry: 15000\n" in text


async def test_F61_tokens_and_tools_have_both_spellings(ringing):
    told = events_in(await ask("What is 25 * 4?"))
    tokens = [event["data"] for event in told if event["event"] == "token"]
    assert all(data["token"] == data["content"] for data in tokens)
    assert [data["metadata"]["count"] for data in tokens] == list(range(1, len(tokens) + 1))
    assert {data["metadata"]["messageId"] for data in tokens} == {"test"}
    start = next(event["data"] for event in told if event["event"] == "tool_start")
    assert (start["tool"], start["tool_input"]) == (start["tool_name"], start["input"])


@pytest.mark.parametrize(
    ("mode", "untold"),
    [("messages", set()), ("updates", {"token"}), ("custom", {"token", "tool_start", "tool_end"})],
)
async def test_F63_each_mode_leaves_something_out(ringing, mode, untold):
    told = events_in(await ask("What is 25 * 4?", stream_mode=mode))
    names = {event["event"] for event in told}
    assert not names & untold
    assert {"start", "status", "complete"} < names
    assert "100" in told[-1]["data"]["result"]


@pytest.mark.parametrize(
    "query",
    [
        {"messageId": "test"},
        {"command": THREE},
        {"command": THREE, "messageId": "test", "stream_mode": "evil"},
        {"command": "", "messageId": "test"},
    ],
)
async def test_F63_what_is_missing_or_unknown_is_refused(ringing, query):
    assert (await call("/stream", **query))[0] == 422
    assert await Run.objects.acount() == 0


async def test_F64_the_same_messageId_is_two_commands(ringing):
    await ask()
    await ask()
    assert await Run.objects.acount() == 2


async def test_F66_a_client_that_was_told_everything_is_sent_away(ringing):
    told = events_in(await ask())
    headers = {"last-event-id": told[-1]["id"]}
    async with Request("/stream", headers=headers, command=THREE, messageId="test") as request:
        assert request.status == 204
        await request.read()
