"""Seeds 1 and 2 over HTTP: one connection asks and is told the answer."""

import asyncio
import json
from dataclasses import replace

import pytest

from chat import attendance, database, sessions
from chat.models import ChatSession, Run
from chat.principals import EVERYBODY
from costs.usage import Usage
from tests import driving, invariants
from tests.chat.dialects.asking import Request, call, data_in, events_in
from tests.costs import calls

pytestmark = pytest.mark.django_db(transaction=True)

#: Slow enough for each token to be told by itself.
THREE = "[[tokens=3 delay_ms=80]]"
LONG = "[[tokens=2000 delay_ms=5]]"


async def ask(message=THREE, **query):
    async with Request("/chat/stream", message=message, session_id="user123", **query) as request:
        return request, await request.read()


async def test_F01_a_GET_is_answered_with_a_stream(ringing):
    request, text = await ask()
    assert request.status == 200
    assert request.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert request.headers["X-Accel-Buffering"] == "no"
    assert request.headers["Cache-Control"].startswith("no-cache")
    assert not {"Content-Length", "Content-Encoding", "Connection"} & set(request.headers)
    assert all(event["event"] == "message" for event in events_in(text))
    assert all(isinstance(data["type"], str) for data in data_in(text))


async def test_F02_a_POST_says_the_same(ringing):
    _, asked = await ask()
    body = {"message": THREE, "session_id": "other"}
    async with Request("/chat/stream", body=body) as request:
        posted = await request.read()
    kinds = [[data["type"] for data in data_in(text)] for text in (asked, posted)]
    assert kinds[0] == kinds[1]


async def test_F03_the_first_event_says_which_session_it_is(ringing):
    _, text = await ask()
    first = data_in(text)[0]
    assert (first["type"], first["session_id"]) == ("connected", "user123")
    assert isinstance(first["message"], str)


async def test_F04_an_answer_is_told_from_its_prompt_to_its_result(ringing):
    _, text = await ask()
    told = data_in(text)
    kinds = [data["type"] for data in told]
    assert kinds == ["connected", "llm_start", "token", "token", "token", "llm_end", "done"]
    assert told[1]["prompts"] == [THREE]
    assert isinstance(told[1]["model"], str)
    tokens = "".join(data["token"] for data in told if data["type"] == "token")
    assert told[-2]["full_response"] == told[-1]["result"] == tokens == "w0 w1 w2 "
    assert told[-2]["tokens"] == 3


async def test_F05_F06_counts_and_costs_are_numbers_that_only_grow(ringing):
    _, text = await ask()
    told = data_in(text)
    tokens = [data for data in told if data["type"] == "token"]
    assert [data["token_count"] for data in tokens] == [1, 2, 3]
    costs = [data["cost"] for data in tokens]
    assert all(isinstance(cost, float) for cost in costs)
    assert costs == sorted(costs)
    # Once the provider has counted, all say the same.
    assert told[-2]["cost_summary"] == told[-1]["cost_summary"]
    assert told[-1]["cost_summary"]["completion_tokens"] == 3
    assert costs[-1] > 0
    summary = told[-1]["cost_summary"]
    assert set(summary) == {
        "total_tokens", "prompt_tokens", "completion_tokens", "total_cost", "model",
    }  # fmt: skip
    assert summary["total_tokens"] == summary["prompt_tokens"] + summary["completion_tokens"]
    assert isinstance(summary["total_cost"], float)


async def test_F08_a_tool_is_told_when_it_starts_and_ends(ringing):
    _, text = await ask("What is 25 * 4?")
    told = {data["type"]: data for data in data_in(text)}
    assert told["tool_start"]["tool"] == "calculator"
    assert isinstance(told["tool_start"]["input"], str)
    assert told["tool_end"]["output"] == "100"
    assert "100" in told["done"]["result"]


async def test_F08_a_failed_tool_does_not_end_the_stream(ringing):
    _, text = await ask("What is 1 / 0?")
    told = {data["type"]: data for data in data_in(text)}
    assert {"error", "error_type"} < set(told["tool_error"])
    assert list(told)[-1] == "done"


async def test_F09_a_failed_model_ends_the_stream_with_an_error(ringing):
    _, text = await ask("[[tokens=5 delay_ms=0 fail=unavailable fail_after=2]]")
    told = data_in(text)
    assert {"error", "error_type"} < set(told[-1])
    assert told[-1]["type"] == "error"
    assert "done" not in [data["type"] for data in told]


async def test_F10_a_silent_stream_is_kept_alive_with_comments(ringing, monkeypatch):
    monkeypatch.setattr("chat.asking.SILENCE_S", 0.1)
    _, text = await ask("[[tokens=2 delay_ms=300]]")
    assert ": heartbeat\n\n" in text
    assert data_in(text)[-1]["type"] == "done"


async def test_F11_F88_nobody_who_went_away_pays_for_the_rest(ringing, monkeypatch):
    monkeypatch.setattr(attendance, "GRACE_S", 0.2)
    async with Request("/chat/stream", message=LONG, session_id="user123") as request:
        await request.read(until='"token"')
        await request.leave()
        run = await Run.objects.aget()
        run = await database.read(driving.wait_for_status, run.pk, "cancelled")
    assert run.cancel_reason == "disconnected"
    session = await ChatSession.objects.aget()
    await database.read(invariants.check_session, session)


async def test_F11_who_comes_back_in_time_is_told_the_rest(ringing, monkeypatch):
    monkeypatch.setattr(attendance, "GRACE_S", 1.0)
    message = "[[tokens=60 delay_ms=20]]"
    async with Request("/chat/stream", message=message, session_id="user123") as request:
        cut = events_in(await request.read(until='"token"'))
    await asyncio.sleep(0.3)
    last = {"last-event-id": cut[-1]["id"]}
    async with Request("/chat/stream", headers=last, message=message) as request:
        assert request.status == 200
        rest = events_in(await request.read())
    told = [event["data"] for event in cut + rest]
    assert "".join(d["token"] for d in told if d["type"] == "token") == told[-1]["result"]
    counts = [data["token_count"] for data in told if data["type"] == "token"]
    assert counts == sorted(set(counts))
    assert [data["type"] for data in told].count("connected") == 1
    assert await Run.objects.acount() == 1


async def test_F66_whoever_was_told_everything_is_sent_away_and_nothing_runs_again(ringing):
    _, text = await ask()
    last = {"last-event-id": events_in(text)[-1]["id"]}
    async with Request("/chat/stream", headers=last, message=THREE) as request:
        assert request.status == 204
        assert await request.read() == ""
    assert await Run.objects.acount() == 1


async def test_F66_each_place_in_a_finished_stream_can_be_gone_on_from(ringing):
    _, text = await ask("What is 25 * 4?")
    whole = events_in(text)
    for position, event in enumerate(whole[:-1]):
        last = {"last-event-id": event["id"]}
        async with Request("/chat/stream", headers=last, message="again") as request:
            rest = events_in(await request.read())
        # What a reader who is late is told may be joined, but it is the same text.
        assert rest[-1] == whole[-1]
        told = [e["data"] for e in whole[: position + 1] + rest]
        text = "".join(d["token"] for d in told if d["type"] == "token")
        assert text == "".join(e["data"].get("token", "") for e in whole)
        kinds = [d["type"] for d in told if d["type"] != "token"]
        assert kinds == [e["data"]["type"] for e in whole if e["data"]["type"] != "token"]
    assert await Run.objects.acount() == 1


@pytest.mark.parametrize("last_id", ["x", "x:1", "0:0", "error", "a" * 7000, "１:1.1"])
async def test_F66_a_place_that_does_not_exist_starts_nothing(ringing, last_id):
    headers = {"last-event-id": last_id}
    async with Request("/chat/stream", headers=headers, message=THREE) as request:
        assert request.status == 204
        await request.read()
    assert await Run.objects.acount() == 0


@pytest.mark.parametrize(
    "query", [{}, {"message": ""}, {"message": " \t"}, {"message": "x" * 40_000}]
)
async def test_F12_without_a_message_nothing_runs(ringing, query):
    status, problem = await call("/chat/stream", **query)
    assert status == 422
    assert problem["detail"]
    assert await Run.objects.acount() == 0


async def test_F19_a_session_remembers_and_another_one_does_not(ringing):
    await ask("My name is Alice")
    _, same = await ask("What's my name?")
    async with Request("/chat/stream", message="What's my name?", session_id="other") as request:
        other = await request.read()
    assert "Alice" in data_in(same)[-1]["result"]
    assert "Alice" not in data_in(other)[-1]["result"]


async def test_who_names_no_session_gets_one_of_his_own(ringing):
    names = set()
    for _ in range(2):
        async with Request("/chat/stream", message=THREE) as request:
            names.add(data_in(await request.read())[0]["session_id"])
    assert len(names) == 2
    assert "default" not in names


async def test_a_second_message_over_HTTP_waits_for_the_first(ringing):
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask("[[tokens=5 delay_ms=20]]")) for _ in range(3)]
    assert {data_in(task.result()[1])[-1]["type"] for task in asked} == {"done"}


async def test_F35_a_chat_can_be_asked_for_as_a_whole(ringing):
    status, answer = await call("/chat", body={"message": THREE, "session_id": "user123"})
    assert status == 200
    tokens = answer.pop("metadata")["tokens_used"]
    assert answer == {
        "response": "w0 w1 w2 ", "session_id": "user123", "success": True, "error": None,
    }  # fmt: skip
    assert tokens > 3


async def test_F35_a_failure_of_a_whole_answer_is_an_error(ringing):
    status, problem = await call("/chat", body={"message": "[[tokens=2 fail=unavailable]]"})
    assert status == 500
    assert problem["detail"]


async def test_F35_sessions_are_listed_and_cleared(ringing):
    await ask()
    assert await call("/sessions") == (200, [{"session_id": "user123", "message_count": 2}])
    for _ in range(2):
        cleared = {"status": "success", "message": "Session user123 cleared"}
        assert await call("/sessions/user123", method="DELETE") == (200, cleared)
    assert await call("/sessions") == (200, [])


async def test_F35_a_session_that_is_answering_is_stopped_and_cleared(ringing):
    async with Request("/chat/stream", message=LONG, session_id="user123") as request:
        await request.read(until='"token"')
        assert (await call("/sessions/user123", method="DELETE"))[0] == 200
        await request.read()
    assert await ChatSession.objects.acount() == 0


async def test_F20_costs_are_summed_and_begin_anew_when_asked(ringing):
    status, nothing = await call("/cost-summary")
    assert (status, nothing["total_tokens"], nothing["model"]) == (200, 0, None)
    _, text = await ask()
    spent = data_in(text)[-1]["cost_summary"]
    _, summary = await call("/cost-summary")
    assert summary == spent
    _, of_session = await call("/cost-summary", session_id="user123")
    assert of_session == spent
    assert await call("/cost-summary/reset", body={}) == (
        200, {"status": "success", "message": "Cost tracking reset"},
    )  # fmt: skip
    _, after = await call("/cost-summary")
    assert after == {**spent, **dict.fromkeys(list(spent)[:3], 0), "total_cost": 0.0}
    session = await database.read(sessions.get_for, EVERYBODY, "user123")
    await database.read(invariants.check_session, session)


async def test_F21_each_session_has_costs_of_its_own(ringing):
    for session_id, text in (("a", "[[tokens=3 delay_ms=0]]"), ("b", "[[tokens=5 delay_ms=0]]")):
        await call("/chat", body={"message": text, "session_id": session_id})
    _, everything = await call("/cost-summary")
    parts = [(await call("/cost-summary", session_id=name))[1] for name in "ab"]
    assert [part["completion_tokens"] for part in parts] == [3, 5]
    assert everything["total_tokens"] == sum(part["total_tokens"] for part in parts)


async def test_F20_calls_without_a_price_are_said_to_be_missing(transactional_db):
    payer = replace(calls.payer(), owner_key=EVERYBODY.owner_key)
    await database.write(calls.made, payer, Usage(input=1, output=2))
    await database.write(calls.made, payer, Usage(input=10), price=None)
    _, summary = await call("/cost-summary")
    assert summary.pop("model") == "m"
    assert summary == {
        "total_tokens": 13,
        "prompt_tokens": 11,
        "completion_tokens": 2,
        "total_cost": 0.000009,
        "incomplete": True,
        "unpriced_calls": 1,
    }


async def test_another_site_s_page_starts_nothing(ringing):
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    status, problem = await call("/chat/stream", headers=headers, message=THREE)
    assert (status, problem["code"]) == (403, "foreign_origin")
    assert (await call("/chat/stream", headers={"sec-purpose": "prefetch"}, message=THREE))[
        0
    ] == 403
    assert await Run.objects.acount() == 0


async def test_with_required_login_nothing_is_open(ringing, settings):
    settings.AUTH = "required"
    asked = [
        ("/chat/stream", {"message": THREE}),
        ("/chat/stream", {"body": {"message": THREE}}),
        ("/chat", {"body": {"message": THREE}}),
        ("/sessions", {}),
        ("/sessions/user123", {"method": "DELETE"}),
        ("/cost-summary", {}),
        ("/cost-summary/reset", {"body": {}}),
        ("/stream", {"body": {"prompt": THREE}}),
        ("/stream", {"command": THREE, "messageId": "1"}),
        ("/invoke", {"body": {"prompt": THREE}}),
        ("/invocations", {"body": {"prompt": THREE}}),
    ]
    for path, how in asked:
        assert (await call(path, **how))[0] == 401, path
    assert await Run.objects.acount() == 0


async def test_F64_no_event_is_in_more_than_one_chunk(ringing):
    async with Request("/chat/stream", message=THREE) as request:
        await request.read()
        assert all(chunk.endswith("\n\n") and chunk.count("\n\n") == 1 for chunk in request.chunks)
        assert json.loads(request.chunks[0].split("\n")[0].removeprefix("data: "))
