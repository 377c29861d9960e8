"""Events in batches: the same events, fewer frames, positions that still count."""

import asyncio
import json

import pytest

from chat import database, pacing
from chat.events import merge_envelopes
from chat.wire import native
from tests import driving
from tests.chat.test_consumers import Socket
from tests.chat.test_sse import Stream, finished, start

pytestmark = pytest.mark.django_db(transaction=True)

TALK = "[[tokens=60 delay_ms=5]]"


def told_in(batches):
    assert all(batch["type"] == "batch" for batch in batches)
    return [event for batch in batches for event in batch["events"]]


async def told_to_all(session):
    log = await database.read(driving.log_of, session)
    return [json.loads(native.encode(e)) for e in merge_envelopes(log)]


def text_of(events):
    return "".join(event["delta"] for event in events if event["type"] == "text.delta")


async def read_batches(stream):
    batches = []
    while not batches or batches[-1]["events"][-1]["type"] != "run.finished":
        (event,) = await stream.events("batch")
        place = json.loads(event["data"])["events"][-1]["seq"]
        assert event["id"].endswith(f":{place}")
        batches.append(json.loads(event["data"]))
    return batches


async def test_F69_batches_hold_what_single_events_would_have_said(mine, ringing):
    async with Stream("?after=0&batch_ms=100") as stream, Socket("?after=0&batch_ms=100") as socket:
        await stream.events("stream-open")
        await start(mine, TALK)
        streamed = await read_batches(stream)
        sent = await socket.until("batch")
        while sent[-1]["events"][-1]["type"] != "run.finished":
            sent += await socket.until("batch")
    whole = await told_to_all(mine)
    for batches in (streamed, sent):
        events = told_in(batches)
        assert len(batches) < 15
        assert text_of(events) == text_of(whole)
        assert [e["type"] for e in events if e["type"] != "text.delta"] == [
            e["type"] for e in whole if e["type"] != "text.delta"
        ]


async def test_F69_a_client_goes_on_behind_its_last_batch(mine, ringing):
    await start(mine, TALK)
    told, place = [], {"query": "?after=0&batch_ms=30"}
    while not told or told[-1]["type"] != "run.finished":
        async with Stream(**place) as stream:
            *_, event = await stream.events("batch")
            told += json.loads(event["data"])["events"]
            place = {"query": "?batch_ms=30", "last_event_id": stream.last_event_id}
    assert [e["seq"] for e in told] == sorted({e["seq"] for e in told})
    assert text_of(told) == text_of(await told_to_all(mine))


async def test_F69_caught_up_comes_behind_the_batch(mine, ringing):
    await finished(mine)
    async with Socket("?after=0&batch_ms=5000&caught_up=1") as socket:
        *batches, last = await socket.until("caught_up")
    assert told_in(batches)[-1]["seq"] == last["seq"]


@pytest.mark.parametrize("wrong", ["0", "-1", "10001", "1e3", "", "½", "9" * 5000])
async def test_a_wrong_batch_is_refused(mine, redis, wrong):
    async with Socket(f"?batch_ms={wrong}") as socket:
        assert await socket.close_code() == 4400
    async with Stream(f"?batch_ms={wrong}") as stream:
        assert stream.status == 422


async def test_a_batch_waits_no_longer_than_it_was_told():
    queue = asyncio.Queue()

    async def pages():
        while (page := await queue.get()) is not None:
            yield page

    batches = pacing.batched(pages(), wait_s=0.05, is_due=lambda batch: len(batch) >= 3)
    for page in ([1], [2, 3], [4], []):
        queue.put_nowait(page)
    assert [await anext(batches) for _ in range(3)] == [[1, 2, 3], [4], []]
    queue.put_nowait([5])
    assert await anext(batches) == [5]
    for page in ([6], None):
        queue.put_nowait(page)
    assert [batch async for batch in batches] == [[6]]
