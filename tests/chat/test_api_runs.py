"""REST: runs tell how they stand, and are cancelled; the models that can be used."""

import re
import uuid

import pytest
from django.test import AsyncClient

from chat import database, sessions
from chat.models import Message, Run
from tests import driving, invariants

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "[[tokens=2000 delay_ms=5]]"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


@pytest.fixture(scope="module")
def async_client():
    """One for all tests: each new one would look for all static files again."""
    return AsyncClient()


async def send(client, text, **more):
    sent = await client.post(
        "/api/sessions/mine/messages", {"text": text, **more}, content_type="application/json"
    )
    assert sent.status_code == 202
    return sent.json()["run_id"]


async def run_of(client, run_id):
    answer = await client.get(f"/api/runs/{run_id}")
    assert answer.status_code == 200
    return answer.json()


async def cancel(client, run_id):
    return await client.post(f"/api/runs/{run_id}/cancel")


async def ended(client, run_id, *statuses):
    await database.read(driving.wait_for_status, run_id, *statuses)
    return await run_of(client, run_id)


def usd(millionths):
    return f"{millionths / 10**6:.6f}".rstrip("0")


async def test_F82_a_finished_run_tells_its_usage_its_cost_its_times_and_its_stream(
    async_client, mine, ringing
):
    run_id = await send(async_client, "[[tokens=50 delay_ms=0]]")
    run = await ended(async_client, run_id, "finished")
    prompt_tokens = run["usage"]["prompt_tokens"]
    timings, calls, stream = run.pop("timings"), run.pop("calls"), run.pop("stream")
    assert run == {
        "run_id": run_id,
        "session_id": "mine",
        "status": "finished",
        "model": "scripted:demo",
        "attempt": 1,
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": 50,
            "total_tokens": prompt_tokens + 50,
            "by_class": {"input": prompt_tokens, "output": 50},
        },
        "cost": usd(prompt_tokens + 200),
        "currency": "USD",
        "estimated": False,
        "unpriced_calls": 0,
        "charges": [
            {"token_class": "input", "quantity": prompt_tokens, "cost": usd(prompt_tokens)},
            {"token_class": "output", "quantity": 50, "cost": usd(200)},
        ],
        "error": None,
    }
    assert list(timings) == ["created_at", "started_at", "first_token_at", "ended_at"]
    assert all(TIME.fullmatch(at) for at in timings.values()), timings
    assert sorted(timings.values()) == list(timings.values())
    assert [(c["status"], c["usage_source"], c["model"]) for c in calls] == [
        ("complete", "provider", "demo")
    ]
    assert (calls[0]["usage"], calls[0]["charges"]) == (run["usage"], run["charges"])
    answer = await Message.objects.aget(role="assistant")
    assert (stream["total_chunks"], stream["total_chars"]) == (50, len(answer.parts[0]["text"]))
    assert 0 <= stream["first_chunk_latency_s"] <= stream["duration_s"] < 60


async def test_a_run_with_a_tool_is_the_sum_of_its_calls(async_client, mine, ringing):
    run = await ended(async_client, await send(async_client, "What is 6 * 7?"), "finished")
    assert [call["tool"] for call in run["calls"]] == ["", "calculator"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert run["usage"][name] == sum(call["usage"][name] for call in run["calls"])


async def test_the_smallest_cost_is_told_without_an_exponent(async_client, mine, ringing):
    run = await ended(async_client, await send(async_client, "[[tokens=1 delay_ms=0]]"), "finished")
    assert re.fullmatch(r"0\.\d+", run["cost"])


async def test_a_queued_run_has_used_nothing_yet(async_client, mine, redis):
    run = await run_of(async_client, await send(async_client, "Hi"))
    assert (run["status"], run["cost"], run["calls"], run["error"]) == ("queued", None, [], None)
    assert run["usage"] == {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "total_tokens": 0,
        "by_class": {},
    }
    assert run["timings"]["started_at"] is None


async def test_a_failed_run_tells_why_and_what_it_used(async_client, mine, ringing):
    text = "[[tokens=9 delay_ms=0 fail=interrupted fail_after=4]]"
    run = await ended(async_client, await send(async_client, text), "failed")
    assert run["error"]["code"] == "interrupted"
    assert run["error"]["detail"].startswith("The connection to the provider broke")
    assert (run["usage"]["completion_tokens"], run["estimated"]) == (4, True)
    assert run["cost"] is not None


async def test_a_running_run_tells_what_it_used_so_far(async_client, mine, ringing):
    run_id = await send(async_client, LONG)
    await database.read(driving.wait_for, lambda: driving.text_of(mine))
    run = await run_of(async_client, run_id)
    assert (run["status"], run["timings"]["ended_at"]) == ("running", None)
    await cancel(async_client, run_id)
    await ended(async_client, run_id, "cancelled")


async def test_a_cancel_is_accepted_and_again_and_stops_the_run(async_client, mine, ringing):
    run_id = await send(async_client, LONG)
    await database.read(driving.wait_for, lambda: driving.text_of(mine))
    answers = [await cancel(async_client, run_id) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    run = await ended(async_client, run_id, "cancelled")
    assert (run["error"], run["estimated"], run["cost"] is None) == (None, True, False)
    assert (await cancel(async_client, run_id)).json() == run
    await database.read(invariants.check_session, mine)


async def test_a_cancelled_queued_run_is_cancelled_in_the_answer(async_client, mine, redis):
    run_id = await send(async_client, "Hi")
    for _ in range(2):
        answer = await cancel(async_client, run_id)
        assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    log = await database.read(driving.log_of, mine)
    assert [e.type for e in log].count("run.cancelled") == 1


async def test_a_cancel_of_a_finished_run_changes_nothing(async_client, mine, ringing):
    run_id = await send(async_client, "[[tokens=2 delay_ms=0]]")
    before = await ended(async_client, run_id, "finished")
    answer = await cancel(async_client, run_id)
    assert (answer.status_code, answer.json()) == (202, before)
    assert await run_of(async_client, run_id) == before


async def test_a_cancel_of_an_unknown_run_is_not_found(async_client, mine):
    unknown = uuid.uuid4()
    answer = await cancel(async_client, unknown)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_run")
    assert answer.content == (await async_client.get(f"/api/runs/{unknown}")).content


async def test_a_run_that_was_cancelled_lets_the_next_one_go_first(async_client, mine, ringing):
    first = await send(async_client, LONG)
    await database.read(driving.wait_for, lambda: driving.text_of(mine))
    second = await send(async_client, "[[tokens=2 delay_ms=0]]", if_running="enqueue")
    await cancel(async_client, first)
    await ended(async_client, second, "finished")
    assert await Run.objects.filter(status="cancelled").acount() == 1


async def retry(client, run_id, *, key=None, **body):
    headers = {"Idempotency-Key": key} if key else {}
    path = f"/api/runs/{run_id}/retry"
    return await client.post(path, body, content_type="application/json", headers=headers)


async def test_a_failed_run_is_asked_again_as_a_new_run(async_client, mine, ringing):
    failed = await send(async_client, "[[text=Hi fail=truncated]]")
    await ended(async_client, failed, "failed")
    accepted = await retry(async_client, failed)
    assert accepted.status_code == 202
    again = accepted.json()["run_id"]
    assert again != failed
    await ended(async_client, again, "failed")
    queued = [e.event for e in await database.read(driving.log_of, mine) if e.type == "run.queued"]
    assert [event.retry_of for event in queued] == [None, failed]
    texts = [m.parts[0]["text"] async for m in Message.objects.filter(role="user")]
    assert len(set(texts)) == 1
    await database.read(invariants.check_session, mine)


async def test_what_is_asked_again_is_told_to_the_model_once(async_client, mine, ringing):
    failed = await send(async_client, "[[text=Hi fail=truncated]]")
    await ended(async_client, failed, "failed")
    again = (await retry(async_client, failed)).json()["run_id"]
    await ended(async_client, again, "failed")
    run = await Run.objects.select_related("session").aget(pk=again)
    told = await database.read(sessions.history_of, run)
    assert [(m.role, str(m.run_id)) for m in told] == [("user", again)]


async def test_the_same_key_asks_again_once(async_client, mine, ringing):
    failed = await send(async_client, "[[text=Hi fail=truncated]]")
    await ended(async_client, failed, "failed")
    first, second = [await retry(async_client, failed, key="again") for _ in range(2)]
    assert first.json() == second.json()
    assert await Run.objects.acount() == 2


async def test_what_has_not_failed_is_not_asked_again(async_client, mine, ringing):
    run_id = await send(async_client, "[[tokens=1]]")
    await ended(async_client, run_id, "finished")
    refused = await retry(async_client, run_id)
    assert (refused.status_code, refused.json()["code"]) == (409, "not_retryable")
    assert (await retry(async_client, uuid.uuid4())).status_code == 404


async def test_a_run_is_asked_again_with_another_model(async_client, mine, ringing):
    failed = await send(async_client, "[[text=Hi fail=truncated]]")
    await ended(async_client, failed, "failed")
    refused = await retry(async_client, failed, model="scripted:none")
    assert refused.status_code == 422
    accepted = await retry(async_client, failed, model="scripted:demo")
    assert accepted.status_code == 202


async def test_the_models_are_listed_with_prices_as_text(async_client, transactional_db):
    listed = (await async_client.get("/api/models")).json()
    assert listed["default"] == listed["items"][0]["model"] == "scripted:demo"
    assert listed["items"][0] == {
        "model": "scripted:demo",
        "provider": "scripted",
        "name": "demo",
        "is_default": True,
        "supports_tools": True,
        "price": {"input": "1", "output": "4", "currency": "USD"},
    }
