"""The hub: what waits for a reader that is slower than what happens."""

import asyncio

import pytest
from django.db import transaction

from chat import database, event_log, events, hub
from tests.chat.test_hub import anything, follow, happen, is_live, readers_of, take

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_reader_that_falls_behind_reads_the_log(place, monkeypatch):
    monkeypatch.setattr(hub, "QUEUE_EVENTS", 10)
    async with follow(place) as following:
        await happen(place)
        assert await take(following, 1) == [1]
        await is_live()
        await happen(place)
        assert await take(following, 2) == [2]
        [reader] = readers_of(place)
        for _ in range(10):
            await happen(place, 5)
            assert len(reader._queue) <= 10
        await asyncio.sleep(0.1)
        assert len(reader._queue) <= 10
        assert await take(following, 52) == list(range(3, 53))
        await happen(place)
        assert await take(following, 53) == [53]


@pytest.mark.parametrize("limit", ["QUEUE_EVENTS", "QUEUE_CHARACTERS"])
async def test_G7_of_a_reader_that_takes_nothing_no_more_than_a_limit_waits(
    place, monkeypatch, limit
):
    stored = await happen(place, 5, is_told=False)
    monkeypatch.setattr(hub, limit, 3 if limit == "QUEUE_EVENTS" else 100)
    subscription = hub.Subscription(place.session_pk)
    subscription.offer(stored[:1])
    assert await subscription.take() == stored[:1]
    subscription.offer(stored[:3])
    subscription.offer(stored[3:])
    # He is sent back to the log.
    assert await subscription.take() is None


async def test_a_reader_that_falls_behind_gets_deltas_joined(place):
    def said(count):
        with transaction.atomic():
            return event_log.append_now(
                place,
                *(
                    events.TextDelta(message_id="m", part=0, delta=f"w{n} ", tokens=n, cost=None)
                    for n in range(count)
                ),
            )

    await database.write(said, 20)
    async with follow(place) as following:
        [envelope] = await anything(following)
    assert (envelope.seq, envelope.event.delta) == (20, "".join(f"w{n} " for n in range(20)))
