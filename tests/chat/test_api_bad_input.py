"""REST: nonsense is refused with an answer that programs can read, and nothing is stored."""

import json

import pytest
from django.test import AsyncClient

from chat.models import ChatSession, Message, Run

pytestmark = pytest.mark.django_db(transaction=True)

SESSIONS = "/api/sessions"
MESSAGES = "/api/sessions/mine/messages"
UNKNOWN_RUN = "/api/runs/00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def async_client():
    """One for all tests: each new one would look for all static files again."""
    return AsyncClient()


@pytest.fixture(autouse=True)
def mine(transactional_db):
    return ChatSession.objects.create(owner_key="open", session_id="mine", title="Mine")


async def stored():
    """What there is in the database."""
    sessions = [row async for row in ChatSession.objects.values()]
    return sessions, await Message.objects.acount(), await Run.objects.acount()


def is_problem(answer, *statuses):
    """Whether this is a refusal of one of these statuses, in the shape of all refusals."""
    assert answer.status_code in statuses, (answer.status_code, answer.content[:300])
    assert answer["Content-Type"].startswith("application/json")
    body = answer.json()
    assert set(body) == {"detail", "code"}
    assert all(isinstance(value, str) and value for value in body.values())
    assert len(answer.content) < 1000
    return True


BODIES = {
    "broken": b"{nope",
    "nothing": b"",
    "array": b"[]",
    "null": b"null",
    "number": b"1",
    "text": b'"x"',
    "utf-16": '{"text": "x"}'.encode("utf-16"),
    "latin-1": '{"text": "é"}'.encode("latin-1"),
    "bom": b'\xef\xbb\xbf{"text": "x"}',
    "nan": b'{"text": NaN}',
    "huge-number": b'{"text": 1e999}',
    "many-digits": b'{"text": ' + b"9" * 5000 + b"}",
    "same-key-twice": b'{"text": "a", "text": "b", "title": "a", "title": "b"}',
    "lone-surrogate": b'{"text": "\\ud800", "title": "\\ud800"}',
    "deep": b"[" * 100_000,
    "deep-and-closed": b'{"text": ' + b"[" * 500 + b"]" * 500 + b"}",
    "two-values": b'{"text": "x"}{"text": "y"}',
    "form": b"text=x&title=x",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", SESSIONS), ("PATCH", f"{SESSIONS}/mine"), ("POST", MESSAGES)]
)
async def test_R_1_a_body_that_is_no_json_object_is_refused(async_client, method, path, body):
    before = await stored()
    answer = await async_client.generic(method, path, body, content_type="application/json")
    assert is_problem(answer, 400, 422)
    assert await stored() == before


async def test_R_1_what_is_wrong_with_the_json_is_said(async_client):
    answer = await async_client.generic("POST", MESSAGES, b"{nope", content_type="application/json")
    assert answer.json()["code"] == "invalid_json"
    assert "position 1" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"session_id": 7},
        {"session_id": ["a"]},
        {"session_id": {"a": 1}},
        {"title": 7},
        {"title": None},
        {"title": "x" * 201},
        {"title": "a\0b"},
        {"model": 7},
        {"model": ""},
        {"model": "no colon"},
        {"model": "a:" + "x" * 200},
        {"model": "scripted:a\0b"},
        {"owner_key": "user:1"},
        {"last_seq": 10, "floor_seq": 5},
        {"epoch": "00000000"},
        {"id": 1},
        {"created_at": "2020-01-01T00:00:00Z"},
        {"x" * 5000: 1},
    ],
    ids=lambda body: ascii(body)[:30],
)
async def test_R_2_R_7_a_session_with_wrong_fields_is_refused(async_client, body):
    before = await stored()
    answer = await async_client.post(SESSIONS, body, content_type="application/json")
    assert is_problem(answer, 422)
    assert await stored() == before


@pytest.mark.parametrize(
    "body",
    [
        {"title": 7},
        {"title": "x" * 201},
        {"model": "no colon"},
        {"session_id": "other"},
        {"owner_key": "user:1"},
        {"title": "New", "last_seq": 10},
    ],
    ids=ascii,
)
async def test_R_7_a_change_of_wrong_fields_is_refused(async_client, body):
    before = await stored()
    answer = await async_client.patch(f"{SESSIONS}/mine", body, content_type="application/json")
    assert is_problem(answer, 422)
    assert await stored() == before


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": None},
        {"text": 7},
        {"text": {"a": 1}},
        {"text": ["a"]},
        {"text": ""},
        {"text": " \n\t "},
        {"text": "\u200b\u2060\ufeff"},
        {"text": "\0"},
        {"text": "x" * (32 * 1024 + 1)},
        {"text": "é" * (16 * 1024 + 1)},
        {"text": "x", "if_running": "maybe"},
        {"text": "x", "if_running": None},
        {"text": "x", "model": 7},
        {"text": "x", "cost": 0},
        {"text": "x", "role": "system"},
        {"text": "x", "user_id": 1, "is_staff": True},
        {"text": "x", "run_id": "00000000-0000-4000-8000-000000000000"},
        {"text": "x", "status": "finished"},
        {"text": "x", "idempotency_key": "k"},
        {"message": "x"},
    ],
    ids=lambda body: ascii(body)[:40],
)
async def test_R_7_M_13_a_message_with_wrong_fields_is_refused(async_client, body):
    answer = await async_client.post(MESSAGES, body, content_type="application/json")
    assert is_problem(answer, 422)
    assert (await Message.objects.acount(), await Run.objects.acount()) == (0, 0)


async def test_a_nul_in_a_message_is_dropped_before_the_database(async_client, redis):
    answer = await async_client.post(MESSAGES, {"text": "a\0b"}, content_type="application/json")
    assert answer.status_code == 202
    assert (await Message.objects.aget()).parts == [{"type": "text", "text": "ab"}]


async def test_a_message_as_long_as_allowed_is_taken(async_client, redis):
    text = "é" * (16 * 1024)
    answer = await async_client.post(MESSAGES, {"text": text}, content_type="application/json")
    assert answer.status_code == 202


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 3 * 1024 * 1024])
async def test_R_1_a_body_of_more_than_a_megabyte_is_refused(async_client, size):
    body = json.dumps({"text": "x" * size})
    answer = await async_client.post(MESSAGES, body, content_type="application/json")
    assert is_problem(answer, 400, 413)
    assert not await Message.objects.aexists()


@pytest.mark.parametrize(
    "session_id",
    ["0", "-1", "99999999999999999999", "1 OR 1=1", "%00", "%ff", "%F0%9F%98%80", "a%0Ab", "Mine"],
)
@pytest.mark.parametrize("path", ["", "/messages", "/costs", "/events"])
async def test_R_5_an_id_of_no_session_is_not_found(async_client, session_id, path):
    answer = await async_client.get(f"{SESSIONS}/{session_id}{path}")
    assert is_problem(answer, 404)
    assert answer.json()["code"] == "unknown_session"


@pytest.mark.parametrize(
    "run_id", ["0", "-1", "99999999999999999999", "1 OR 1=1", "%00", "%ff", "x" * 1000]
)
async def test_R_5_an_id_of_no_run_is_not_found(async_client, run_id):
    found = await async_client.get(f"/api/runs/{run_id}")
    assert is_problem(found, 404)
    cancelled = await async_client.post(f"/api/runs/{run_id}/cancel")
    assert cancelled.content == found.content


@pytest.mark.parametrize(
    "path",
    ["/api/nothing", f"{SESSIONS}/", f"{SESSIONS}/../../etc/passwd", f"{SESSIONS}/..%2F..%2Fetc"],
)
async def test_R_5_a_path_that_is_none_is_not_found(async_client, path):
    assert is_problem(await async_client.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", SESSIONS, {"GET", "POST"}),
        ("DELETE", SESSIONS, {"GET", "POST"}),
        ("POST", f"{SESSIONS}/mine", {"GET", "PATCH", "DELETE"}),
        ("PUT", f"{SESSIONS}/mine", {"GET", "PATCH", "DELETE"}),
        ("DELETE", MESSAGES, {"GET", "POST"}),
        ("POST", f"{SESSIONS}/mine/events", {"GET"}),
        ("DELETE", f"{SESSIONS}/mine/costs", {"GET"}),
        ("DELETE", UNKNOWN_RUN, {"GET"}),
        ("GET", f"{UNKNOWN_RUN}/cancel", {"POST"}),
        ("POST", "/api/models", {"GET"}),
        ("TRACE", SESSIONS, {"GET", "POST"}),
        ("FROBNICATE", SESSIONS, {"GET", "POST"}),
    ],
)
async def test_R_10_a_method_that_a_path_does_not_have_is_refused(
    async_client, method, path, allowed
):
    answer = await async_client.generic(method, path)
    assert answer.status_code == 405
    assert set(answer["Allow"].split(", ")) == allowed
    assert await ChatSession.objects.acount() == 1


async def test_R_10_a_refused_method_is_answered_like_any_other_refusal(async_client):
    assert is_problem(await async_client.put(SESSIONS), 405)


async def test_R_10_a_method_cannot_be_overridden_by_a_header(async_client):
    answer = await async_client.post(
        SESSIONS,
        {"session_id": "new"},
        content_type="application/json",
        headers={"X-HTTP-Method-Override": "DELETE"},
    )
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
async def test_R_1_another_content_type_is_read_as_json_or_refused(async_client, content_type):
    answer = await async_client.generic(
        "POST", SESSIONS, b'{"session_id": "new"}', content_type=content_type
    )
    assert answer.status_code == 201 or is_problem(answer, 400, 415, 422)
