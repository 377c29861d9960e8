"""The hub: each reader gets each event once and in order, whatever the layer does."""

import asyncio
import threading
from contextlib import aclosing

import pytest
from channels.layers import get_channel_layer
from django.db import transaction

from chat import broadcast, database, event_log, events, hub
from chat.event_log import Place
from chat.models import ChatSession, Run
from tests import driving

pytestmark = pytest.mark.django_db(transaction=True)


@transaction.atomic
def store(place, count):
    """Put events into the log that no reader joins with their neighbours."""
    made = [events.Progress(step=n, total=count, message="m") for n in range(count)]
    return event_log.append_now(place, *made)


async def happen(place, count=1, *, is_told=True):
    """Let events happen: they are stored and then published, as the committer does it."""
    stored = await database.write(store, place, count)
    if is_told:
        await broadcast.publish((place.session_pk, stored))
    return stored


def follow(place, after=0):
    return aclosing(
        hub.follow(session_pk=place.session_pk, session_id=place.session_id, after=after)
    )


async def anything(following):
    """Wait until something is given that is no word of having caught up."""
    while not (given := await anext(following)):
        pass
    return given


async def take(following, last, *, timeout_s=10):
    """Read up to and with the event of this seq."""
    seqs = []
    async with asyncio.timeout(timeout_s):
        while not seqs or seqs[-1] < last:
            seqs += [envelope.seq for envelope in await anext(following)]
    return seqs


def hub_here():
    return hub._hubs[asyncio.get_running_loop()]


async def is_live():
    """Wait until this process hears what is published, and its readers may have read the log."""
    await asyncio.to_thread(driving.wait_for, is_subscribed_in(get_channel_layer()._get_layer()))
    await asyncio.sleep(0.05)


def is_subscribed_in(layer):
    return lambda: any(
        broadcast.EVENTS_GROUP in name for shard in layer._shards for name in shard._subscribed_to
    )


def readers_of(place):
    return hub_here()._subscriptions.get(place.session_pk, ())


async def test_a_reader_gets_what_is_stored_and_then_what_happens(place):
    await happen(place, 3)
    async with follow(place) as following:
        assert await take(following, 3) == [1, 2, 3]
        await happen(place, 2)
        assert await take(following, 5) == [4, 5]


async def test_a_reader_begins_after_its_position(place):
    await happen(place, 5)
    async with follow(place, after=3) as following:
        assert await take(following, 5) == [4, 5]


async def test_a_long_log_is_read_page_by_page(place, monkeypatch):
    monkeypatch.setattr(event_log, "PAGE_EVENTS", 2)
    await happen(place, 5)
    async with follow(place) as following:
        pages = [[e.seq for e in await anext(following)] for _ in range(3)]
    assert pages == [[1, 2], [3, 4], [5]]


async def test_G7_a_page_is_bounded_by_what_it_says_and_one_long_event_is_a_page(
    place, monkeypatch
):
    monkeypatch.setattr(event_log, "PAGE_CHARACTERS", 10)
    await happen(place, 3)
    async with follow(place) as following:
        pages = [[e.seq for e in await anext(following)] for _ in range(3)]
    assert pages == [[1], [2], [3]]


async def test_a_reader_of_a_deleted_session_is_told_that_it_is_gone(place, monkeypatch):
    monkeypatch.setattr(hub, "COMPARE_EVERY_S", 0.05)
    await happen(place, 1)
    async with follow(place) as following:
        assert await take(following, 1) == [1]
        await database.write(ChatSession.objects.filter(pk=place.session_pk).delete)
        with pytest.raises(event_log.SessionGone):
            await asyncio.wait_for(anything(following), 5)


async def test_who_comes_while_the_log_is_compared_is_not_told_that_the_session_is_gone(
    place, monkeypatch
):
    monkeypatch.setattr(hub, "COMPARE_EVERY_S", 0.05)
    is_asked, may_answer, last_seqs = threading.Event(), threading.Event(), event_log.last_seqs

    def answer_late(session_pks):
        if place.session_pk not in session_pks:
            is_asked.set()
            assert may_answer.wait(5)
        return last_seqs(session_pks)

    monkeypatch.setattr(event_log, "last_seqs", answer_late)
    nobody = Place(session_pk=0, session_id="nobody", run_id=place.run_id, attempt=0)
    async with follow(nobody) as gone:
        waiting = asyncio.create_task(anything(gone))
        await asyncio.to_thread(is_asked.wait, 5)
        async with follow(place) as following:
            await happen(place, 1)
            assert await take(following, 1) == [1]
            # He is told that he has caught up, and then waits for what happens.
            assert await anext(following) == []
            upcoming = asyncio.create_task(take(following, 2))
            may_answer.set()
            with pytest.raises(event_log.SessionGone):
                await waiting
            await happen(place, 1)
            assert await upcoming == [2]


async def test_a_reader_that_races_with_a_thousand_events_gets_each_once(place):
    async def publish_all():
        for _ in range(250):
            await happen(place, 4)

    publishing = asyncio.create_task(publish_all())
    readers = []
    for delay_s in (0, 0.05, 0.1, 0.2, 0.3):
        await asyncio.sleep(delay_s)
        readers.append(follow(place))
    told = []
    for reader in readers:
        async with reader as following:
            told.append(asyncio.create_task(take(following, 1000, timeout_s=30)))
            await asyncio.wait({told[-1]})
    await publishing
    assert all(task.result() == list(range(1, 1001)) for task in told)


async def test_readers_who_come_while_events_happen_get_each_once(place):
    async def read():
        async with follow(place) as following:
            return await take(following, 1000, timeout_s=30)

    readers = []
    for _ in range(250):
        if len(readers) < 10:
            readers.append(asyncio.create_task(read()))
        await happen(place, 4)
    assert await asyncio.gather(*readers) == [list(range(1, 1001))] * 10


async def test_what_the_layer_tells_in_another_order_comes_in_order(place):
    async with follow(place) as following:
        reading = asyncio.create_task(take(following, 6))
        await asyncio.sleep(0)
        await is_live()
        first, second, third = [await happen(place, 2, is_told=False) for _ in range(3)]
        for stored in (third, first, first, second):
            await broadcast.publish((place.session_pk, stored))
        assert await reading == [1, 2, 3, 4, 5, 6]


async def test_a_hole_is_filled_as_soon_as_a_later_event_betrays_it(place):
    async with follow(place) as following:
        reading = asyncio.create_task(take(following, 3, timeout_s=1))
        await asyncio.sleep(0)
        await is_live()
        await happen(place, 2, is_told=False)
        await happen(place, 1)
        assert await reading == [1, 2, 3]


async def test_a_last_event_that_was_lost_comes_two_comparisons_later(place, monkeypatch):
    monkeypatch.setattr(hub, "COMPARE_EVERY_S", 0.1)
    async with follow(place) as following:
        reading = asyncio.create_task(take(following, 1, timeout_s=2))
        await asyncio.sleep(0)
        await is_live()
        await happen(place, 1, is_told=False)
        assert await reading == [1]


async def test_an_event_that_was_lost_comes_within_two_seconds(place):
    """With the pace that the product has; G5 promises it."""
    async with follow(place) as following:
        reading = asyncio.create_task(take(following, 1, timeout_s=2.5))
        await asyncio.sleep(0)
        await is_live()
        await happen(place, 1, is_told=False)
        assert await reading == [1]


async def test_a_reader_who_leaves_is_forgotten(place):
    async with follow(place) as one:
        await happen(place)
        await take(one, 1)
        async with follow(place) as other:
            await take(other, 1)
            assert len(readers_of(place)) == 2
        assert len(readers_of(place)) == 1
    assert hub_here()._subscriptions == {}


async def test_a_reader_who_is_cut_off_while_he_waits_is_forgotten(place):
    following = hub.follow(session_pk=place.session_pk, session_id=place.session_id, after=0)
    waiting = asyncio.create_task(anything(following))
    await asyncio.sleep(0.05)
    assert len(readers_of(place)) == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert hub_here()._subscriptions == {}


async def test_a_process_has_one_channel_however_many_readers_come_and_go(place):
    for number in range(1, 20):
        async with follow(place, after=number - 1) as following:
            await happen(place)
            assert await take(following, number) == [number]
    layer = get_channel_layer()._get_layer()
    assert len(layer.channels) == len(layer.groups) == 1


async def test_a_reader_who_comes_back_at_once_is_told_live(place, monkeypatch):
    monkeypatch.setattr(hub, "COMPARE_EVERY_S", 100)
    for number in range(1, 10):
        async with follow(place, after=number - 1) as following:
            reading = asyncio.create_task(take(following, number, timeout_s=5))
            await asyncio.sleep(0)
            await is_live()
            await happen(place)
            assert await reading == [number]


async def test_readers_of_other_sessions_are_told_nothing(place, alice):
    other = await ChatSession.objects.acreate(owner_key=alice.owner_key)
    run = await Run.objects.acreate(session=other, queued_seq=1, model="scripted:demo")
    elsewhere = Place(session_pk=other.pk, session_id=other.session_id, run_id=run.pk, attempt=0)
    async with follow(place) as following, follow(elsewhere) as others:
        reading = [asyncio.create_task(anything(one)) for one in (following, others)]
        await asyncio.sleep(0)
        await is_live()
        await happen(place, 3)
        told = await reading[0]
        assert {e.run_id for e in told} == {str(place.run_id)}
        await asyncio.wait({reading[1]}, timeout=0.2)
        assert not reading[1].done()
        reading[1].cancel()
        await asyncio.gather(reading[1], return_exceptions=True)
