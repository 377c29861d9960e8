"""Seed 5's transport: lenient JSON-RPC, streams of it, and the cards."""

import asyncio

import pytest

from chat import about, database
from chat.models import ChatSession, Run
from tests import driving
from tests.chat.dialects.asking import Request, call, events_in

pytestmark = pytest.mark.django_db(transaction=True)

THREE = "[[tokens=3 delay_ms=80]]"
LONG = "[[tokens=2000 delay_ms=5]]"


def said(text=THREE, **message):
    return {"message": {"role": "user", "parts": [{"kind": "text", "text": text}], **message}}


async def rpc(method, params, *, path="/", rpc_id="1"):
    body = {"jsonrpc": "2.0", "id": rpc_id, "method": method, "params": params}
    status, answer = await call(path, body=body)
    assert status == 200
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", rpc_id)
    return answer.get("result") or answer["error"]


@pytest.mark.parametrize("path", ["/", "/a2a", "/a2a/v1/messages"])
async def test_F84_a_message_with_an_empty_kind_and_id_is_answered_with_text(ringing, path):
    answer = await rpc("message/send", said(kind="", messageId=""), path=path)
    assert (answer["kind"], answer["role"]) == ("message", "agent")
    assert answer["parts"] == [{"kind": "text", "text": "w0 w1 w2 "}]
    assert answer["messageId"]


async def test_F84_a_message_is_answered_without_JSON_RPC_too(ringing):
    status, answer = await call("/a2a/v1/messages", body=said())
    assert status == 200
    assert answer["parts"][0]["text"] == "w0 w1 w2 "


async def test_F84_a_stream_tells_a_task_from_its_start_to_its_end(ringing):
    body = {"jsonrpc": "2.0", "id": 7, "method": "message/stream", "params": said()}
    async with Request("/", body=body) as request:
        assert request.headers["Content-Type"].startswith("text/event-stream")
        told = events_in(await request.read())
    assert {event["data"]["id"] for event in told} == {7}
    names = [event["event"] for event in told]
    assert names[:2] == ["task", "task_status_update"]
    results = [event["data"]["result"] for event in told]
    pieces = [r["artifact"]["parts"][0]["text"] for r in results if r["kind"] == "artifact-update"]
    assert "".join(pieces) == "w0 w1 w2 "
    assert results[-1]["status"]["state"] == "completed"
    assert [r.get("final") for r in results].count(True) == 1
    assert results[-1]["final"]


async def test_a_context_is_remembered(ringing):
    await rpc("message/send", said("My name is Alice", contextId="c1"))
    answer = await rpc("message/send", said("What's my name?", contextId="c1"))
    assert answer["contextId"] == "c1"
    assert "Alice" in answer["parts"][0]["text"]


async def test_F83_an_answer_that_breaks_off_is_replied_with_a_mark(ringing):
    text = "[[tokens=5 delay_ms=30 fail=unavailable fail_after=2]]"
    answer = await rpc("message/send", said(text))
    assert answer["parts"][0]["text"] == "w0 w1 \n[Error: Stream interrupted]"


async def test_an_answer_that_never_began_is_an_error(ringing):
    error = await rpc("message/send", said("[[tokens=5 fail=refused]]"))
    assert error["code"] == -32603


async def test_a_task_is_shown_and_stopped(ringing):
    body = {"jsonrpc": "2.0", "id": 1, "method": "message/stream", "params": said(LONG)}
    async with Request("/", body=body) as request:
        text = await request.read(until="artifact-update")
        task_id = events_in(text)[0]["data"]["result"]["id"]
        assert (await rpc("tasks/get", {"id": task_id}))["status"]["state"] == "working"
        await rpc("tasks/cancel", {"id": task_id})
        last = events_in(await request.read())[-1]["data"]["result"]
    assert last["status"]["state"] == "canceled"
    shown = await rpc("tasks/get", {"id": task_id})
    assert (shown["kind"], shown["status"]["state"]) == ("task", "canceled")
    assert shown["artifacts"][0]["parts"][0]["text"].startswith("w0 ")
    assert (await rpc("tasks/cancel", {"id": task_id}))["code"] == -32002


async def test_a_task_can_be_subscribed_to_again(ringing):
    answer = await rpc("message/send", said())
    params = {"id": answer["taskId"]}
    body = {"jsonrpc": "2.0", "id": 2, "method": "tasks/resubscribe", "params": params}
    async with Request("/", body=body) as request:
        told = events_in(await request.read())
    assert told[-1]["data"]["result"]["status"]["state"] == "completed"


async def test_R_17_the_task_of_another_is_unknown(ringing):
    other = await ChatSession.objects.acreate(owner_key="user:2", model="scripted:demo")
    started = await asyncio.to_thread(driving.send, other, THREE)
    await database.read(driving.wait_for_status, started.run_id, "finished")
    for method in ("tasks/get", "tasks/cancel", "tasks/resubscribe"):
        assert (await rpc(method, {"id": str(started.run_id)}))["code"] == -32001


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], -32600),
        (None, -32600),
        ("x", -32600),
        ({"jsonrpc": "1.0", "id": 1, "method": "message/send"}, -32600),
        ({"jsonrpc": "2.0", "id": {}, "method": "message/send"}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "__class__"}, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "message/send"}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": said("")}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": said() | {
            "message": {"parts": [{"kind": "text", "text": "x"}] * 1000}}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": said() | {
            "message": {"parts": [{"kind": "file", "file": {"uri": "file:///etc/passwd"}}]}}},
         -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": {"id": "../x"}}, -32001),
        ({"jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": {"id": 1}}, -32602),
    ],
)  # fmt: skip
async def test_R_16_what_is_no_call_is_refused_with_the_code_for_it(ringing, body, code):
    async with Request("/", body=body if body is not None else 0) as request:
        answer = await request.json()
    assert answer["error"]["code"] == code
    assert await Run.objects.acount() == 0


async def test_R_16_what_is_no_JSON_is_a_parse_error(ringing):
    request = Request("/", body={})
    request.sent = b"{"
    async with request:
        assert (await request.json())["error"]["code"] == -32700


@pytest.mark.parametrize("path", ["/.well-known/agent.json", "/.well-known/agent-card.json"])
async def test_F84_the_card_says_who_we_are(transactional_db, path):
    status, card = await call(path)
    assert status == 200
    assert (card["name"], card["capabilities"]["streaming"]) == (about.agent().name, True)
    assert card["url"].endswith("/")
    assert card["skills"]


async def test_F35_the_root_directs_programs_and_shows_browsers_the_page(transactional_db):
    status, told = await call("/", headers={"accept": "application/json"})
    assert (status, told["docs"]) == (200, "/docs")
    assert set(told["endpoints"]) == {
        "chat", "stream_sse", "stream_ws", "stream_a2a", "cost_summary",
    }  # fmt: skip
    for accepted in ("text/html,application/json;q=0.8", "*/*"):
        async with Request("/", headers={"accept": accepted}) as request:
            assert "<html" in await request.read()


async def test_F35_health_says_who_answers(transactional_db):
    status, told = await call("/health")
    assert (status, told["status"], told["agent"]) == (200, "healthy", about.agent().name)
    assert told["version"]
    assert told["timestamp"].endswith("Z")


async def test_with_required_login_an_agent_needs_one_too(ringing, settings):
    settings.AUTH = "required"
    body = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": said()}
    for path in ("/", "/a2a", "/a2a/v1/messages"):
        assert (await call(path, body=body))[0] == 401
