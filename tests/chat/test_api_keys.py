"""Keys for programs: what they open, on every transport, and until when."""

import json
from io import StringIO

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from chat import api_keys, database, sessions
from chat.models import ApiKey
from chat.principals import Principal
from project.asgi import application
from tests.chat.dialects.asking import Request, call, data_in

pytestmark = pytest.mark.django_db(transaction=True)

THREE = "[[tokens=3 delay_ms=0]]"


@pytest.fixture
def user(transactional_db, settings):
    settings.AUTH = "required"
    return User.objects.create_user("alice")


@pytest.fixture
def key(user):
    return api_keys.create(user, name="test")[1]


def bearer(key):
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize("name", ["x-api-key", "authorization"])
async def test_F30_a_key_opens_the_sessions_of_its_user(user, key, name):
    headers = {"x-api-key": key} if name == "x-api-key" else bearer(key)
    status, made = await call("/api/sessions", body={"session_id": "hers"}, headers=headers)
    assert status == 201
    owner = Principal(f"user:{user.pk}")
    assert (await database.read(sessions.get_for, owner, "hers")).session_id == made["session_id"]
    found = await ApiKey.objects.aget()
    assert found.last_used_at is not None


async def test_F30_a_key_needs_no_csrf_token_and_comes_from_any_site(key):
    headers = {**bearer(key), "origin": "https://elsewhere.example"}
    assert (await call("/api/sessions", body={}, headers=headers))[0] == 201


@pytest.mark.parametrize("given", ["", "cl_wrong", "x" * 7000, "é"])
async def test_F30_what_is_no_key_opens_nothing(user, given):
    headers = {"x-api-key": given}
    for path, body in (("/api/sessions", None), ("/chat", {"message": THREE})):
        assert (await call(path, body=body, headers=headers))[0] == 401


async def test_F30_a_revoked_key_and_one_of_a_disabled_user_open_nothing(user, key):
    assert (await call("/sessions", headers=bearer(key)))[0] == 200
    found = await ApiKey.objects.aget()
    await database.write(api_keys.revoke, found)
    assert (await call("/sessions", headers=bearer(key)))[0] == 401
    _, other = await database.write(api_keys.create, user, name="other")
    await User.objects.aupdate(is_active=False)
    assert (await call("/sessions", headers=bearer(other)))[0] == 401


async def test_F30_a_key_in_the_query_of_a_request_opens_nothing(key):
    assert (await call("/sessions", token=key))[0] == 401


async def test_F30_a_stream_is_given_to_a_key(key, ringing):
    body = {"message": THREE}
    async with Request("/chat/stream", body=body, headers=bearer(key)) as request:
        told = data_in(await request.read())
    assert told[0]["session_id"] == "default"
    assert told[-1]["type"] == "done"


async def test_F30_a_stream_ends_when_its_key_is_revoked(key, ringing, monkeypatch):
    monkeypatch.setattr("chat.reading.CHECK_LOGIN_EVERY_S", 0.1)
    body = {"message": "[[tokens=2000 delay_ms=5]]"}
    async with Request("/chat/stream", body=body, headers=bearer(key)) as request:
        await request.read(until="token")
        await database.write(api_keys.revoke, await ApiKey.objects.aget())
        assert "done" not in await request.read()


@pytest.mark.parametrize("path", ["/ws", "/ws/sessions/hers", "/stream", "/ws/chunks"])
@pytest.mark.parametrize("in_query", [True, False])
async def test_F30_a_socket_is_opened_by_a_key(user, key, path, in_query, ringing):
    owner = Principal(f"user:{user.pk}")
    await database.write(sessions.create, owner, session_id="hers")
    headers = [] if in_query else [(b"authorization", b"Bearer " + key.encode())]
    wire = WebsocketCommunicator(application, path + (f"?token={key}" if in_query else ""), headers)
    assert (await wire.connect(timeout=5))[0]
    if path == "/ws":
        assert json.loads(await wire.receive_from(5))["session_id"] == "default"
    assert await wire.receive_nothing(0.2)
    await wire.disconnect()


async def test_F30_a_socket_is_not_opened_by_a_wrong_key(user):
    wire = WebsocketCommunicator(application, "/ws?token=cl_wrong")
    assert (await wire.connect(timeout=5))[0]
    assert (await wire.receive_output(5))["code"] == 4401


def test_a_key_is_made_on_the_command_line(user):
    out = StringIO()
    call_command("create_api_key", "alice", "for tests", stdout=out)
    assert api_keys.login(out.getvalue().strip()).principal == Principal(f"user:{user.pk}")
    with pytest.raises(CommandError, match="no active user"):
        call_command("create_api_key", "nobody", "x")


def test_what_is_kept_of_a_key_opens_nothing(user, key):
    kept = ApiKey.objects.get()
    assert key not in (kept.digest, kept.prefix)
    assert key.startswith(kept.prefix)
    assert api_keys.login(kept.digest) is None
