"""WebSocket: who may come in, from which page, and what the others are told."""

import json

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import OperationalError
from django.test import Client

from chat import principals, reading, sockets
from chat.models import ChatSession
from chat.principals import Principal
from tests.chat.test_consumers_refusals import closing, wire_to

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def mine(transactional_db, redis):
    return ChatSession.objects.create(owner_key="open", session_id="mine", model="scripted:demo")


async def end_login(ending):
    """End Alice's login in one of the ways in which logins end."""
    if ending == "logout":
        await Session.objects.all().adelete()
    elif ending == "disabled":
        await User.objects.filter(username="alice").aupdate(is_active=False)
    else:
        user = await User.objects.aget(username="alice")
        user.set_password("another")
        await user.asave()


async def is_let_in(headers=(), **scope):
    """Whether the handshake is accepted."""
    wire = wire_to(headers=headers, **scope)
    is_accepted, _ = await wire.connect(timeout=5)
    if is_accepted:
        await wire.disconnect(timeout=5)
    return is_accepted


@pytest.fixture
def cookie_of(settings):
    """Gives the cookie header of a user who is logged in."""
    settings.AUTH = "required"

    def make(name):
        user = User.objects.create_user(name)
        client = Client()
        client.force_login(user)
        key = client.cookies[django_settings.SESSION_COOKIE_NAME].value
        ChatSession.objects.create(
            owner_key=Principal(f"user:{user.pk}").owner_key, session_id=f"{name}s", last_seq=0
        )
        return b"cookie", f"{django_settings.SESSION_COOKIE_NAME}={key}".encode()

    return make


@pytest.fixture
def alices_cookie(cookie_of):
    return cookie_of("alice")


@pytest.fixture
def charlies_cookie(cookie_of):
    return cookie_of("charlie")


async def test_WS_18_who_is_not_logged_in_is_told_so(alices_cookie):
    for headers in ((), [(b"cookie", b"sessionid=x")], [(b"cookie", b"\xff=;;;")]):
        assert await closing("/ws/sessions/alices", headers) == sockets.NOT_ALLOWED == 4401


async def test_WS_20_another_s_session_is_like_one_that_does_not_exist(
    alices_cookie, charlies_cookie
):
    closed = []
    for path in ("/ws/sessions/alices", "/ws/sessions/nobodys"):
        wire = wire_to(path, [charlies_cookie])
        await wire.connect(timeout=5)
        closed.append(await wire.receive_output(timeout=5))
        await wire.disconnect(timeout=5)
    assert closed[0] == closed[1]
    assert closed[0]["code"] == 4404


@pytest.mark.parametrize("ending", ["logout", "disabled", "password"])
async def test_WS_33_a_socket_is_closed_when_its_login_has_ended(
    alices_cookie, monkeypatch, ending
):
    monkeypatch.setattr(reading, "CHECK_LOGIN_EVERY_S", 0.05)
    wire = wire_to("/ws/sessions/alices", [alices_cookie])
    await wire.connect(timeout=5)
    assert await wire.receive_nothing(timeout=0.3)
    await end_login(ending)
    assert (await wire.receive_output(timeout=5))["code"] == 4401


async def test_WS_33_an_outage_of_the_database_does_not_end_the_watch(alices_cookie, monkeypatch):
    monkeypatch.setattr(reading, "CHECK_LOGIN_EVERY_S", 0.05)
    is_still, failures = principals.is_still, [OperationalError("away")] * 4

    def is_still_when_it_is_there(*args, **kwargs):
        if failures:
            raise failures.pop()
        return is_still(*args, **kwargs)

    monkeypatch.setattr(principals, "is_still", is_still_when_it_is_there)
    wire = wire_to("/ws/sessions/alices", [alices_cookie])
    await wire.connect(timeout=5)
    assert await wire.receive_nothing(timeout=0.5)
    await end_login("disabled")
    assert (await wire.receive_output(timeout=5))["code"] == 4401


async def reading_wire(session_id, cookie):
    """A socket that has begun to read, which is a while after it was accepted."""
    wire = wire_to(f"/ws/sessions/{session_id}?caught_up=1", [cookie])
    await wire.connect(timeout=5)
    assert json.loads(await wire.receive_from(timeout=5))["type"] == "caught_up"
    return wire


async def test_WS_32_a_user_s_eleventh_socket_is_refused(alices_cookie, charlies_cookie):
    wires = [await reading_wire("alices", alices_cookie) for _ in range(10)]
    assert await closing("/ws/sessions/alices", [alices_cookie]) == 4429
    wires.append(await reading_wire("charlies", charlies_cookie))
    # One that is closed makes room.
    await wires.pop(0).disconnect(timeout=5)
    wires.append(await reading_wire("alices", alices_cookie))
    for wire in wires:
        await wire.disconnect(timeout=5)


async def test_the_owner_s_socket_works(alices_cookie):
    wire = wire_to("/ws/sessions/alices", [alices_cookie])
    await wire.connect(timeout=5)
    await wire.send_json_to({"type": "send_message", "text": "Hi"})
    assert json.loads(await wire.receive_from(timeout=5))["type"] == "run.queued"
    await wire.disconnect(timeout=5)


@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.example", "null", "http://testserver.evil.example", "file://"),
        *("http://testserver@evil.example", "http://[", "http://h:abc", "http://", "\xff"),
        *("ws://testserver", "http://testserver.", "http://TESTSERVER.evil.example"),
    ],
)
async def test_WS_22_WS_25_a_page_of_another_site_is_refused(origin):
    assert not await is_let_in([(b"origin", origin.encode("latin-1"))])


@pytest.mark.parametrize(
    ("origin", "scheme"),
    [
        (b"http://testserver:8001", "ws"),
        (b"https://testserver", "ws"),
        (b"http://testserver", "wss"),
        (b"https://testserver:8443", "wss"),
    ],
)
async def test_WS_23_another_port_or_scheme_is_another_site(origin, scheme):
    assert not await is_let_in([(b"origin", origin)], scheme=scheme)


@pytest.mark.parametrize(
    ("origin", "scheme"), [(b"http://testserver", "ws"), (b"https://testserver", "wss")]
)
async def test_a_page_of_ours_is_let_in(origin, scheme):
    assert await is_let_in([(b"origin", origin)], scheme=scheme)


async def test_a_page_of_ours_behind_a_proxy_with_tls_is_let_in():
    headers = [(b"origin", b"https://testserver"), (b"x-forwarded-proto", b"https")]
    assert await is_let_in(headers)


async def test_a_page_that_the_operator_names_is_let_in(settings):
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example"]
    assert await is_let_in([(b"origin", b"https://app.example")])


async def test_WS_24_a_program_without_an_origin_is_let_in():
    assert await is_let_in()
