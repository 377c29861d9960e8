"""SSE: who may read a stream, and the contract of django-eventstream's storage and channels."""

from contextlib import AsyncExitStack

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django_eventstream.storage import EventDoesNotExist
from django_eventstream.utils import get_channelmanager, get_storage

from chat import reading, sse
from chat.models import ChatSession
from chat.principals import Principal
from tests import driving
from tests.chat.test_consumers_access import end_login
from tests.chat.test_sse import SHORT, Stream, finished, start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def users(transactional_db, settings):
    settings.AUTH = "required"
    return {name: User.objects.create_user(name) for name in ("alice", "charlie")}


def cookie_of(user):
    client = Client()
    client.force_login(user)
    return "sessionid=" + client.cookies["sessionid"].value


@pytest.fixture
def hers(users):
    owner = Principal(f"user:{users['alice'].pk}").owner_key
    return ChatSession.objects.create(owner_key=owner, session_id="hers", model="scripted:demo")


@pytest.fixture
def alices_cookie(users):
    return cookie_of(users["alice"])


@pytest.fixture
def charlies_cookie(users):
    return cookie_of(users["charlie"])


async def test_who_is_logged_in_follows_his_own_session(hers, alices_cookie, ringing):
    async with Stream("?after=0", session_id="hers", cookie=alices_cookie) as stream:
        assert stream.status == 200
        await start(hers)
        assert (await stream.log())[-1]["type"] == "run.finished"


@pytest.mark.parametrize("ending", ["logout", "disabled", "password"])
async def test_G14_a_stream_ends_when_its_login_has_ended(hers, alices_cookie, monkeypatch, ending):
    monkeypatch.setattr(reading, "CHECK_LOGIN_EVERY_S", 0.05)
    async with Stream(session_id="hers", cookie=alices_cookie) as stream:
        await end_login(ending)
        assert await stream.ends(timeout_s=5)


async def test_S_15_a_user_s_eleventh_stream_is_refused(hers, alices_cookie):
    async with AsyncExitStack() as open_streams:
        for _ in range(10):
            one = await open_streams.enter_async_context(
                Stream(session_id="hers", cookie=alices_cookie)
            )
            await one.events("stream-open")
        async with Stream(session_id="hers", cookie=alices_cookie) as refused:
            assert refused.status == 429


async def test_who_is_logged_in_comes_back_to_his_own_session(hers, alices_cookie, ringing):
    await finished(hers)
    place = f"hers.{hers.epoch}:5"
    async with Stream(session_id="hers", cookie=alices_cookie, last_event_id=place) as stream:
        assert stream.status == 200
        assert (await stream.log())[0]["seq"] == 6


async def test_an_administrator_follows_a_session_where_all_callers_are_one(
    mine, alices_cookie, ringing, settings
):
    settings.AUTH = "open"
    async with Stream("?after=0", cookie=alices_cookie) as stream:
        assert stream.status == 200


async def test_S_5_another_s_session_is_not_found(hers, charlies_cookie):
    place = f"hers.{hers.epoch}:0"
    for query in ("", "?after=0", f"?lastEventId={place}"):
        async with Stream(query, session_id="hers", cookie=charlies_cookie) as stream:
            assert stream.status == 404
            refused = await stream.chunk()
        async with Stream(query, session_id="nobodys", cookie=charlies_cookie) as stream:
            assert (stream.status, await stream.chunk()) == (404, refused)


async def test_who_is_not_logged_in_is_told_so(hers):
    async with Stream(session_id="hers") as stream:
        assert stream.status == 401


@pytest.fixture
def storage(mine):
    return get_storage()


def test_the_storage_gives_the_events_after_an_id(mine, storage, worker):
    worker.execute(driving.send(mine, SHORT).run_id)
    channel = sse.channel_of(mine)
    log = driving.log_of(mine)
    assert storage.get_current_id(channel) == log[-1].seq
    found = storage.get_events(channel, 3)
    assert [(e.channel, e.type, e.id) for e in found] == [(channel, e.type, e.seq) for e in log[3:]]
    assert found[0].data["session_id"] == "mine"
    assert [e.id for e in storage.get_events(channel, 3, limit=2)] == [4, 5]
    assert storage.get_events(channel, log[-1].seq) == []


@pytest.mark.parametrize("last_id", [-1, 4, 10**6])
def test_the_storage_has_no_event_outside_of_the_log(mine, storage, last_id):
    ChatSession.objects.update(last_seq=3)
    with pytest.raises(EventDoesNotExist) as refused:
        storage.get_events(sse.channel_of(mine), last_id)
    assert refused.value.current_id == 3


def test_the_storage_has_no_event_below_the_kept_log(mine, storage):
    ChatSession.objects.update(last_seq=9, floor_seq=5)
    with pytest.raises(EventDoesNotExist):
        storage.get_events(sse.channel_of(mine), 4)
    assert storage.get_events(sse.channel_of(mine), 5) == []


@pytest.mark.parametrize("channel", ["", "mine", "mine.", "mine.00000000", ".x", "nobodys.x"])
def test_the_storage_has_no_event_of_another_channel(mine, storage, channel):
    with pytest.raises(EventDoesNotExist):
        storage.get_events(channel, 0)
    with pytest.raises(EventDoesNotExist):
        storage.get_current_id(channel)


def test_the_storage_takes_no_events(storage):
    with pytest.raises(NotImplementedError):
        storage.append_event("mine", "text.delta", {})


def test_a_channel_is_read_by_its_owner_alone(hers, users):
    manager = get_channelmanager()
    channel = sse.channel_of(hers)
    assert manager.can_read_channel(users["alice"], channel)
    assert not manager.can_read_channel(users["charlie"], channel)
    assert not manager.can_read_channel(None, channel)
    assert not manager.can_read_channel(users["alice"], "hers.00000000")
    assert manager.is_channel_reliable(channel)
