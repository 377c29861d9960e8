"""The mesh's receiver: what is kept, once, for whom, and what is answered."""

import pytest

from chat import about, database
from chat.models import MeshDelivery, Run
from tests import driving
from tests.chat.dialects.asking import call

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/agents/production-agent/stream"
SENT = {
    "agent_id": "production-agent",
    "message": "Analyze this data",
    "response": "It is fine.",
    "target_agent": "data-analyzer",
    "timestamp": "2026-01-01T00:00:00",
    "streaming_events": [{"type": "token", "token": "It "}, {"type": "done", "result": "<b>"}],
}


async def test_F23_a_delivery_is_kept_and_replayed(redis, transactional_db):
    status, answer = await call(PATH, body=SENT)
    assert status == 202
    assert answer == {
        "success": True, "status": "accepted", "agent_id": "production-agent",
        "target_agent": "data-analyzer", "events": 2, "run_id": None,
    }  # fmt: skip
    status, told = await call(PATH)
    assert status == 200
    (kept,) = told["items"]
    assert {name: kept[name] for name in SENT} == SENT


async def test_R_18_the_same_delivery_is_kept_once(redis, transactional_db):
    for _ in range(5):
        assert (await call(PATH, body=SENT))[0] == 202
    assert await MeshDelivery.objects.acount() == 1


async def test_F23_what_is_for_this_agent_is_answered_once(ringing):
    answers = [
        await call(PATH, body={**SENT, "target_agent": about.agent().name}) for _ in range(2)
    ]
    (run_id,) = {answer["run_id"] for _, answer in answers}
    await database.read(driving.wait_for_status, run_id, "finished")
    assert await Run.objects.acount() == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"agent_id": "forged"},
        {"agent_id": "../admin"},
        {"target_agent": "a\r\nHost: x"},
        {"streaming_events": [1]},
        {"streaming_events": [{}] * 10_001},
        {"message": None},
    ],
)
async def test_R_18_what_is_no_delivery_is_refused(redis, transactional_db, changed):
    assert (await call(PATH, body={**SENT, **changed}))[0] == 422
    assert await MeshDelivery.objects.acount() == 0


async def test_R_18_too_large_a_delivery_is_refused(redis, transactional_db):
    events = [{"x": "y" * 1000}] * 2000
    assert (await call(PATH, body={**SENT, "streaming_events": events}))[0] == 413


async def test_R_18_with_required_login_nobody_delivers_without(redis, transactional_db, settings):
    settings.AUTH = "required"
    assert (await call(PATH, body=SENT))[0] == 401
    assert (await call(PATH))[0] == 401
