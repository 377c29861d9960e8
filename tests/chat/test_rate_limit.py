"""How often a caller may ask, over REST and sockets, over instances, and without Redis."""

import uuid

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User

from chat import api_keys, rate_limit
from chat.principals import EVERYBODY, Principal
from project.asgi import application
from tests.chat.dialects.asking import Request, call
from tests.chat.test_consumers import Socket

pytestmark = pytest.mark.django_db(transaction=True)

THREE = "[[tokens=3 delay_ms=0]]"


@pytest.fixture
def limited(settings, redis, transactional_db, monkeypatch):
    """Three requests a minute, counted anew."""
    monkeypatch.setattr(settings.ENV, "rate_limit_per_minute", 3)
    monkeypatch.setattr(rate_limit, "PREFIX", f"test-{uuid.uuid4()}")
    rate_limit._counter.cache_clear()
    yield redis
    rate_limit._counter.cache_clear()


async def asked(count, *, path="/sessions", **how):
    """The status of each of so many calls."""
    return [(await call(path, **how))[0] for _ in range(count)]


async def test_F28_the_fourth_call_is_told_when_to_come_again(limited):
    assert await asked(3) == [200] * 3
    async with Request("/sessions") as request:
        problem = await request.json()
    assert (request.status, problem["detail"]) == (429, "Rate limit exceeded")
    assert 1 <= int(request.headers["Retry-After"]) <= 60


async def test_F28_health_is_always_told(limited):
    for path in ("/health", "/health/live", "/ping", "/.well-known/agent.json"):
        assert await asked(4, path=path) == [200] * 4


async def test_F28_keys_are_counted_for_their_user_wherever_they_come_from(limited, settings):
    settings.AUTH = "required"
    user = await User.objects.acreate(username="alice")
    other = await User.objects.acreate(username="charlie")
    keys = [
        (await sync_to_async(api_keys.create)(owner, name="x"))[1] for owner in (user, user, other)
    ]
    statuses = [
        (await asked(2, headers={"x-api-key": key, "x-forwarded-for": f"10.0.0.{n}"}))
        for n, key in enumerate(keys)
    ]
    assert statuses == [[200, 200], [200, 429], [200, 200]]


def test_F28_the_count_is_shared_by_all_instances(limited):
    alice = Principal("user:alice")
    for _ in range(3):
        # Each is as new as another process's.
        rate_limit.Counter().take(alice.owner_key, per_minute=3)
    with pytest.raises(rate_limit.TooOften):
        rate_limit.Counter().take(alice.owner_key, per_minute=3)


async def test_F28_addresses_are_counted_apart(limited):
    for address in ("10.0.0.1", "10.0.0.2"):
        for _ in range(3):
            await rate_limit.take(EVERYBODY, address=address)
    with pytest.raises(rate_limit.TooOften):
        await rate_limit.take(EVERYBODY, address="10.0.0.1")


async def test_F28_without_redis_each_process_counts_for_itself(limited):
    limited.kill()
    assert await asked(4) == [200, 200, 200, 429]


async def test_F28_a_socket_counts_as_it_opens_and_with_each_message(limited, mine, ringing):
    async with Socket() as socket:
        for _ in range(2):
            await socket.say(THREE, if_running="enqueue")
        await socket.until("run.finished", times=2)
        await socket.say(THREE)
        assert (await socket.frame())["code"] == "rate_limited"
    wire = WebsocketCommunicator(application, "/ws?session_id=mine")
    assert (await wire.connect(timeout=5))[0]
    assert (await wire.receive_output(5))["code"] == 4429


async def test_F28_a_socket_of_another_dialect_counts_too(limited, ringing):
    wire = WebsocketCommunicator(application, "/ws/chunks")
    assert (await wire.connect(timeout=5))[0]
    answers = []
    for _ in range(3):
        await wire.send_to(text_data=THREE)
        answers.append("")
        while (text := await wire.receive_from(5)) != "[DONE]":
            answers[-1] += text
    assert answers[:2] == ["w0 w1 w2 "] * 2
    assert answers[2].startswith("[Error: Rate limit exceeded")
    await wire.disconnect()
