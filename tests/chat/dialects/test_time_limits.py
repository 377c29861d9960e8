"""Streams that take too long, and tokens that are told several at once."""

import asyncio
import json

import pytest
from django.conf import settings

from chat import database, runs
from chat.commands import SendMessage
from chat.models import ChatSession, Message, Run
from tests import invariants
from tests.chat.dialects.asking import Request, call, events_in
from tests.chat.dialects.test_sockets import Socket

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "[[tokens=2000 delay_ms=10]]"


async def last_of(path, **how):
    async with Request(path, **how) as request:
        return events_in(await request.read())[-1]


async def last_frame_of_socket():
    async with Socket() as socket:
        await socket.say(message=LONG)
        return (await socket.until("error"))[-1]


async def test_F53_a_run_that_takes_too_long_ends_with_the_error_of_its_dialect(
    ringing, mine, monkeypatch
):
    monkeypatch.setattr(settings.ENV, "stream_timeout_s", 3)
    native = await runs.start(mine, SendMessage(text=LONG), model="scripted:demo")
    ossa, agentcore, theo, socket, (status, invoked) = await asyncio.gather(
        last_of("/chat/stream", message=LONG, session_id="a"),
        last_of("/stream", body={"prompt": LONG, "session_id": "b"}),
        last_of("/stream", command=LONG, messageId="c"),
        last_frame_of_socket(),
        call("/invoke", body={"prompt": LONG, "session_id": "d"}),
    )
    expected = {"type": "error", "error": "Request timeout", "error_type": "TimeoutError"}
    assert ossa["data"] == socket == expected
    said = agentcore["data"]
    assert (agentcore["event"], said["error"], said["type"]) == (
        "error", "Request timeout", "TimeoutError",
    )  # fmt: skip
    assert (theo["event"], theo["data"]["message"]) == ("error", "Request timeout")
    assert (status, invoked["detail"]) == (500, "Request timeout")
    stopped = [run async for run in Run.objects.exclude(pk=native.run_id)]
    assert {(run.status, run.cancel_reason) for run in stopped} == {("cancelled", "timed_out")}
    kept = Message.objects.filter(role="assistant", run__in=stopped)
    assert all(["w0 w1" in message.parts[0]["text"] async for message in kept])
    still = await Run.objects.aget(pk=native.run_id)
    assert still.status == "running"
    await runs.cancel(still)
    async for session in ChatSession.objects.exclude(pk=mine.pk):
        await database.read(invariants.check_session, session)


async def test_F53_a_limit_of_zero_is_none(ringing, monkeypatch):
    monkeypatch.setattr(settings.ENV, "stream_timeout_s", 0)
    last = await last_of("/stream", body={"prompt": "[[tokens=5 delay_ms=400]]"})
    assert last["event"] == "agent_end"


async def test_F53_tokens_are_told_by_the_number_that_was_asked_for(ringing):
    body = {"prompt": "[[tokens=23 delay_ms=20]]", "stream_tokens": True, "buffer_size": 10}
    async with Request("/stream", body=body) as request:
        told = events_in(await request.read())
    tokens = [event for event in told if event["event"] == "llm_token"]
    assert "".join(event["data"]["token"] for event in tokens) == told[-1]["data"]["output"]
    assert 2 <= len(tokens) <= 4
    assert [event["data"]["index"] for event in tokens] == list(range(len(tokens)))
    cut = tokens[0]
    last = {"last-event-id": cut["id"]}
    async with Request("/stream", body=body, headers=last) as request:
        rest = [e["data"]["token"] for e in events_in(await request.read()) if "token" in e["data"]]
    assert cut["data"]["token"] + "".join(rest) == told[-1]["data"]["output"]


@pytest.mark.parametrize("wrong", [0, -1, 1001, "many", None])
async def test_F53_a_wrong_buffer_is_refused(transactional_db, wrong):
    status, answer = await call("/stream", body={"prompt": "Hi", "buffer_size": wrong})
    assert (status, answer["code"]) == (422, "invalid"), json.dumps(answer)
    assert not await Run.objects.aexists()
