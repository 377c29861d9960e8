"""Pages of other origins: those that the operator names may ask, and no others."""

import pytest
from channels.testing import WebsocketCommunicator

from chat.models import Run
from project.asgi import application
from tests.chat.dialects.asking import Request

pytestmark = pytest.mark.django_db(transaction=True)

OURS, EVIL = "https://app.example", "https://evil.example"
THREE = "[[tokens=3 delay_ms=0]]"


@pytest.fixture(autouse=True)
def named(settings, transactional_db):
    settings.CORS_ALLOWED_ORIGINS = [OURS]


def preflight(origin):
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,last-event-id",
    }


async def test_F29_a_named_origin_may_ask_and_read_a_stream(ringing):
    async with Request("/chat/stream", method="OPTIONS", headers=preflight(OURS)) as request:
        assert request.status == 200
        assert request.headers["access-control-allow-origin"] == OURS
        assert "last-event-id" in request.headers["access-control-allow-headers"]
        await request.read()
    body = {"message": THREE}
    async with Request("/chat/stream", body=body, headers={"origin": OURS}) as request:
        assert request.status == 200
        assert request.headers["access-control-allow-origin"] == OURS
        await request.read()


async def test_F29_a_named_origin_may_use_an_event_source(ringing):
    headers = {"origin": OURS, "sec-fetch-site": "cross-site"}
    async with Request("/chat/stream", headers=headers, message=THREE) as request:
        assert request.status == 200
        await request.read()


@pytest.mark.parametrize("origin", [EVIL, "null", OURS + ".evil.example", "http://app.example"])
async def test_F29_R_11_another_origin_may_not(ringing, origin):
    async with Request("/chat/stream", method="OPTIONS", headers=preflight(origin)) as request:
        assert "access-control-allow-origin" not in request.headers
        await request.read()
    body = {"message": THREE}
    async with Request("/chat/stream", body=body, headers={"origin": origin}) as request:
        assert request.status == 403
        assert "access-control-allow-origin" not in request.headers
        await request.read()
    assert await Run.objects.acount() == 0


async def test_F29_a_star_names_everybody_and_sends_no_cookies(ringing, settings):
    settings.CORS_ALLOW_ALL_ORIGINS = True
    body = {"message": THREE}
    async with Request("/chat/stream", body=body, headers={"origin": EVIL}) as request:
        assert request.status == 200
        assert request.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in request.headers
        await request.read()


@pytest.mark.parametrize(("origin", "is_opened"), [(OURS, True), (EVIL, False), (None, True)])
@pytest.mark.parametrize("path", ["/ws", "/chat/ws", "/stream", "/ws/chunks"])
async def test_F29_sockets_are_opened_to_the_same_and_to_programs(path, origin, is_opened, redis):
    headers = [(b"origin", origin.encode())] if origin else []
    wire = WebsocketCommunicator(application, path, headers)
    assert (await wire.connect(timeout=5))[0] is is_opened
    if is_opened:
        await wire.disconnect()
