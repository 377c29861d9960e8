"""The hub without Redis, without the database, and with messages that it cannot read."""

import asyncio

import pytest
from channels.layers import get_channel_layer
from django.db import OperationalError

from chat import broadcast, event_log, hub
from tests.chat.test_hub import anything, follow, happen, is_live, take

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_redis_that_dies_and_comes_back_costs_no_event(place, redis, monkeypatch):
    monkeypatch.setattr(hub, "COMPARE_EVERY_S", 0.3)
    monkeypatch.setattr(broadcast, "SEND_TIMEOUT_S", 0.3)
    async with follow(place) as following:
        await happen(place, 5)
        assert await take(following, 5) == [1, 2, 3, 4, 5]
        redis.kill()
        await happen(place, 5)
        assert await take(following, 10, timeout_s=3) == [6, 7, 8, 9, 10]
        redis.start()
        for _ in range(20):
            await happen(place, 2)
        assert await take(following, 50) == list(range(11, 51))


async def test_events_are_live_again_after_redis_came_back(place, redis, monkeypatch):
    """Not only found by comparing with the log."""
    async with follow(place) as following:
        await happen(place)
        await take(following, 1)
        redis.kill()
        await happen(place)
        await take(following, 2, timeout_s=6)
        redis.start()
        monkeypatch.setattr(hub, "COMPARE_EVERY_S", 100)
        deadline, seq, is_live = asyncio.get_running_loop().time() + 12, 2, False
        waiting = None
        while not is_live and asyncio.get_running_loop().time() < deadline:
            seq += 1
            waiting = waiting or asyncio.create_task(anything(following))
            await happen(place)
            await asyncio.wait({waiting}, timeout=0.3)
            is_live = waiting.done()
        assert is_live
        last = waiting.result()[-1].seq
        await happen(place)
        assert await take(following, seq + 1, timeout_s=1) == list(range(last + 1, seq + 2))


async def test_a_reader_who_comes_while_redis_is_away_is_told_live_once_it_is_back(
    place, redis, monkeypatch
):
    monkeypatch.setattr(hub, "COMPARE_EVERY_S", 0.3)
    monkeypatch.setattr(hub, "RETRY_S", 0.3)
    redis.kill()
    async with follow(place) as following:
        await happen(place)
        assert await take(following, 1, timeout_s=3) == [1]
        redis.start()
        await is_live()
        monkeypatch.setattr(hub, "COMPARE_EVERY_S", 100)
        await happen(place)
        assert await take(following, 2, timeout_s=3) == [2]


async def test_a_database_that_is_away_for_a_comparison_is_asked_again(place, monkeypatch):
    monkeypatch.setattr(hub, "COMPARE_EVERY_S", 0.1)
    async with follow(place) as following:
        reading = asyncio.create_task(take(following, 1, timeout_s=5))
        await asyncio.sleep(0)
        await is_live()
        with monkeypatch.context() as patch:
            failed = asyncio.Event()
            loop = asyncio.get_running_loop()

            def fail(*_):
                loop.call_soon_threadsafe(failed.set)
                raise OperationalError

            patch.setattr(event_log, "last_seqs", fail)
            await failed.wait()
        await happen(place, 1, is_told=False)
        assert await reading == [1]


@pytest.mark.parametrize(
    "nonsense", [{"sessions": [[1]]}, {"sessions": 7}, {"session": 1, "events": []}, {}], ids=str
)
async def test_a_message_of_another_version_stops_no_reader_and_leaks_no_channel(
    place, monkeypatch, nonsense
):
    monkeypatch.setattr(hub, "RETRY_S", 0.1)
    async with follow(place) as following:
        await happen(place)
        await take(following, 1)
        await is_live()
        layer = get_channel_layer()
        for _ in range(3):
            await layer.group_send(broadcast.EVENTS_GROUP, {"type": "events"} | nonsense)
            await asyncio.sleep(0.2)
        await happen(place)
        assert await take(following, 2, timeout_s=6) == [2]
        assert len(layer._get_layer().channels) == 1


async def test_an_outage_of_redis_leaks_no_channel(place, redis, monkeypatch):
    monkeypatch.setattr(hub, "RETRY_S", 0.05)
    redis.kill()
    async with follow(place) as following:
        await happen(place)
        await take(following, 1)
        await asyncio.sleep(0.5)
        redis.start()
        await is_live()
        assert len(get_channel_layer()._get_layer().channels) == 1
