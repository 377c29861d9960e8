"""REST: messages are sent, listed, and sent again with the same key."""

import asyncio
import uuid

import pytest
from django.test import AsyncClient

from chat import database, runs
from chat.models import Message, Run
from costs.models import ModelCall
from tests import driving, invariants

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/sessions/mine/messages"
LONG = "[[tokens=2000 delay_ms=5]]"
SHORT = "[[tokens=2 delay_ms=0]]"


@pytest.fixture(scope="module")
def async_client():
    """One for all tests: each new one would look for all static files again."""
    return AsyncClient()


async def send(client, text=SHORT, *, key=None, **more):
    headers = {"Idempotency-Key": key} if key else {}
    body = {"text": text, **more}
    return await client.post(PATH, body, content_type="application/json", headers=headers)


async def status_of(run_id, *statuses):
    return await database.read(driving.wait_for_status, run_id, *statuses)


async def shown(mine):
    return await database.read(driving.wait_for, lambda: driving.text_of(mine))


async def texts(client, run):
    """What a client is shown of a run: its question and its answer."""
    items = (await client.get(PATH, {"limit": 100})).json()["items"]
    of_run = [item for item in reversed(items) if item["run_id"] == run["run_id"]]
    return ["".join(part["text"] for part in item["parts"]) for item in of_run]


async def test_a_message_is_accepted_with_its_run_its_id_and_its_place(async_client, mine, redis):
    sent = await send(async_client, "Hi")
    assert sent.status_code == 202
    accepted = sent.json()
    message = await Message.objects.aget()
    assert accepted == {
        "run_id": str(message.run_id),
        "message_id": str(message.pk),
        "seq": message.seq,
    }
    assert (await async_client.get(f"/api/runs/{accepted['run_id']}")).json()["status"] == "queued"


async def test_a_message_is_stored_and_in_the_log_when_it_is_accepted(async_client, mine, redis):
    seq = (await send(async_client, "Hi")).json()["seq"]
    log = await database.read(driving.log_of, mine)
    assert [e.type for e in log] == ["run.queued", "message.started", "message.completed"]
    assert (log[-1].seq, log[-1].event.parts[0].text) == (seq, "Hi")


async def test_messages_are_listed_newest_first_with_their_parts(async_client, mine, ringing):
    run_id = (await send(async_client)).json()["run_id"]
    await status_of(run_id, "finished")
    page = (await async_client.get(PATH)).json()
    assert page["next_before"] is None
    answer, question = page["items"]
    assert set(answer) == {
        *("message_id", "run_id", "role", "parts", "stop_reason", "seq", "created_at")
    }
    assert [(m["role"], m["run_id"]) for m in (question, answer)] == [
        ("user", run_id),
        ("assistant", run_id),
    ]
    assert answer["parts"] == [{"type": "text", "text": "w0 w1 "}]
    assert question["seq"] < answer["seq"]


async def test_messages_are_paged_without_one_lost_or_doubled(async_client, mine, redis):
    for number in range(7):
        await send(async_client, f"m{number}", if_running="enqueue")
    pages, query = [], {"limit": 3}
    while query.get("before", 1) is not None:
        page = (await async_client.get(PATH, query)).json()
        pages.append([item["parts"][0]["text"] for item in page["items"]])
        query["before"] = page["next_before"]
    assert pages == [["m6", "m5", "m4"], ["m3", "m2", "m1"], ["m0"]]
    empty = (await async_client.get(PATH, {"before": 1})).json()
    assert empty == {"items": [], "next_before": None}


async def test_the_same_key_gives_the_same_answer_and_no_second_run(async_client, mine, redis):
    first = await send(async_client, "Hi", key="k1")
    again = await send(async_client, "Hi", key="k1")
    assert (again.status_code, again.json()) == (202, first.json())
    assert await Run.objects.acount() == 1


async def test_the_same_key_gives_the_same_answer_after_the_run_has_ended(
    async_client, mine, ringing
):
    first = await send(async_client, key="k1")
    await status_of(first.json()["run_id"], "finished")
    assert (await send(async_client, key="k1")).json() == first.json()


async def test_the_same_key_gives_the_same_answer_after_the_default_model_changed(
    async_client, mine, redis, monkeypatch
):
    first = await send(async_client, "Hi", key="k1")
    monkeypatch.setattr("chat.agent.catalog.choose", lambda *wanted: "scripted:next")
    again = await send(async_client, "Hi", key="k1")
    assert (again.status_code, again.json()) == (202, first.json())


@pytest.mark.parametrize(
    "change", [{"text": "Ho"}, {"if_running": "enqueue"}], ids=["text", "if_running"]
)
async def test_R_6_the_same_key_for_another_request_is_refused(async_client, mine, redis, change):
    await send(async_client, "Hi", key="k1")
    refused = await send(async_client, **({"text": "Hi", "key": "k1"} | change))
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert await Run.objects.acount() == 1


async def test_a_key_belongs_to_its_session(async_client, mine, redis):
    first = (await send(async_client, "Hi", key="k1")).json()
    await async_client.post("/api/sessions", {"session_id": "x"}, content_type="application/json")
    other = await async_client.post(
        "/api/sessions/x/messages",
        {"text": "Hi"},
        content_type="application/json",
        headers={"Idempotency-Key": "k1"},
    )
    assert other.status_code == 202
    assert other.json()["run_id"] != first["run_id"]


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "x" * 10_000, "é", "a\tb"], ids=ascii)
async def test_R_6_a_key_with_other_characters_is_refused(async_client, mine, key):
    refused = await async_client.post(
        PATH, {"text": "Hi"}, content_type="application/json", headers={"Idempotency-Key": key}
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert not await Run.objects.aexists()


async def test_R_6_twenty_parallel_requests_with_one_key_are_one_run(async_client, mine, ringing):
    answers = await asyncio.gather(*(send(async_client, key="k1") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    await status_of(answers[0].json()["run_id"], "finished")
    assert await Run.objects.acount() == 1
    assert await Message.objects.filter(role="user").acount() == 1
    await database.read(invariants.check_session, mine)


async def test_twenty_parallel_requests_without_a_key_are_one_run_and_refusals(
    async_client, mine, redis
):
    answers = await asyncio.gather(*(send(async_client) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 19
    assert await Run.objects.acount() == 1


async def test_a_message_during_a_run_is_refused(async_client, mine, ringing):
    first = (await send(async_client, LONG)).json()
    await shown(mine)
    refused = await send(async_client, "Hi")
    assert (refused.status_code, refused.json()["code"]) == (409, "run_active")
    assert await Run.objects.acount() == 1
    await async_client.post(f"/api/runs/{first['run_id']}/cancel")
    await status_of(first["run_id"], "cancelled")


async def test_enqueued_messages_are_answered_in_their_order_one_after_the_other(
    async_client, mine, ringing
):
    accepted = [
        (await send(async_client, f"[[text=a{n} delay_ms=20]]", if_running="enqueue")).json()
        for n in range(5)
    ]
    await status_of(accepted[-1]["run_id"], "finished")
    log = await database.read(driving.log_of, mine)
    turns = [(e.type, e.run_id) for e in log if e.type in ("run.started", "run.finished")]
    assert turns == [
        (kind, run["run_id"]) for run in accepted for kind in ("run.started", "run.finished")
    ]
    await database.read(invariants.check_session, mine)


@pytest.mark.parametrize("if_running", ["enqueue", "interrupt"])
async def test_a_model_is_told_the_answers_to_the_messages_before(
    async_client, mine, ringing, if_running
):
    """Also those that were not complete yet when the message was sent."""
    first = (await send(async_client, "[[tokens=600 delay_ms=1]]")).json()
    await shown(mine)
    second = (await send(async_client, if_running=if_running)).json()
    await status_of(second["run_id"], "finished")
    stored = await Message.objects.aget(role="assistant", run_id=first["run_id"])
    calls = {str(call.run_id): call.prompt_tokens async for call in ModelCall.objects.all()}
    more = len(stored.parts[0]["text"]) // 5 + len(SHORT) // 5
    assert calls[second["run_id"]] - calls[first["run_id"]] > more


async def test_too_many_enqueued_messages_are_refused(async_client, mine, redis):
    for _ in range(runs.MAX_QUEUED):
        assert (await send(async_client, if_running="enqueue")).status_code == 202
    refused = await send(async_client, if_running="enqueue")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_queued")


async def test_an_interrupt_stops_the_run_keeps_its_text_and_answers_the_new_message(
    async_client, mine, ringing
):
    old = (await send(async_client, LONG)).json()
    await shown(mine)
    new = (await send(async_client, if_running="interrupt")).json()
    assert (await status_of(old["run_id"], "cancelled")).cancel_reason == "interrupted"
    await status_of(new["run_id"], "finished")
    question, stopped = await texts(async_client, old)
    assert question == LONG
    assert stopped.startswith("w0 ")
    assert await texts(async_client, new) == [SHORT, "w0 w1 "]
    await database.read(invariants.check_session, mine)


async def test_an_interrupt_cancels_what_was_queued_too(async_client, mine, redis):
    queued = [(await send(async_client, if_running="enqueue")).json() for _ in range(3)]
    new = (await send(async_client, if_running="interrupt")).json()
    for run in queued:
        told = (await async_client.get(f"/api/runs/{run['run_id']}")).json()
        assert (told["status"], told["error"]) == ("cancelled", None)
    told = (await async_client.get(f"/api/runs/{new['run_id']}")).json()
    assert told["status"] == "queued"


async def test_a_rollback_takes_the_old_run_out_of_the_conversation(async_client, mine, ringing):
    first = (await send(async_client, "[[text=kept delay_ms=0]]")).json()
    await status_of(first["run_id"], "finished")
    old = (await send(async_client, LONG)).json()
    await shown(mine)
    new = (await send(async_client, if_running="rollback")).json()
    assert (await status_of(old["run_id"], "cancelled")).cancel_reason == "rolled_back"
    await status_of(new["run_id"], "finished")
    assert await texts(async_client, first) == ["[[text=kept delay_ms=0]]", "kept"]
    assert await texts(async_client, old) == []
    assert await texts(async_client, new) == [SHORT, "w0 w1 "]
    await database.read(invariants.check_session, mine)


async def test_a_model_is_not_told_what_was_rolled_back(async_client, mine, ringing):
    old = (await send(async_client, LONG + "x" * 4000)).json()
    await shown(mine)
    new = (await send(async_client, if_running="rollback")).json()
    await status_of(new["run_id"], "finished")
    calls = {call.run_id: call.prompt_tokens async for call in ModelCall.objects.all()}
    assert calls[uuid.UUID(new["run_id"])] < calls[uuid.UUID(old["run_id"])] - 500


async def test_what_was_rolled_back_stays_charged(async_client, mine, ringing):
    old = (await send(async_client, LONG)).json()
    await shown(mine)
    new = (await send(async_client, if_running="rollback")).json()
    await status_of(new["run_id"], "finished")
    run = (await async_client.get(f"/api/runs/{old['run_id']}")).json()
    assert (run["status"], run["cost"] is not None) == ("cancelled", True)


async def test_interrupts_in_parallel_leave_one_run_that_is_answered(async_client, mine, ringing):
    await send(async_client, LONG)
    answers = await asyncio.gather(*(send(async_client, if_running="interrupt") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {202}
    last = max(answers, key=lambda answer: answer.json()["seq"]).json()["run_id"]
    await status_of(last, "finished")
    statuses = [run.status async for run in Run.objects.order_by("queued_seq")]
    assert set(statuses[:-1]) <= {"cancelled", "finished"}
    await database.read(invariants.check_session, mine)
