"""REST: who may do what. Alice owns, Charlie may not, and a page of another site even less."""

import json

import pytest
from django.contrib.auth.models import User
from django.test.client import AsyncClient, AsyncClientHandler

from chat import sessions
from chat.models import ChatSession, EventRecord, Message, Run
from chat.principals import Principal
from tests import driving

pytestmark = pytest.mark.django_db(transaction=True)

SESSIONS = "/api/sessions"
UNKNOWN_RUN = "00000000-0000-4000-8000-000000000000"
#: Every call that is about one session or one run.
SESSION_CALLS = [
    ("GET", "", None),
    ("PATCH", "", {"title": "Stolen"}),
    ("DELETE", "", None),
    ("GET", "/messages", None),
    ("POST", "/messages", {"text": "Hi"}),
    ("GET", "/costs", None),
    ("GET", "/events", None),
    ("GET", "/events?after=0", None),
]
RUN_CALLS = [("GET", ""), ("POST", "/cancel")]


@pytest.fixture(autouse=True)
def users(transactional_db, settings):
    settings.AUTH = "required"
    return {name: User.objects.create_user(name) for name in ("alice", "charlie")}


#: Each new one would look for all static files again.
HANDLERS = {checks: AsyncClientHandler(enforce_csrf_checks=checks) for checks in (False, True)}


@pytest.fixture
def async_client():
    client = AsyncClient()
    client.handler = HANDLERS[False]
    return client


def logged_in(user, *, enforce_csrf_checks=False):
    client = AsyncClient()
    client.handler = HANDLERS[enforce_csrf_checks]
    client.force_login(user)
    return client


@pytest.fixture
def alice_client(users):
    return logged_in(users["alice"])


@pytest.fixture
def charlie_client(users):
    return logged_in(users["charlie"])


@pytest.fixture
def hers(users, redis):
    """A session of Alice's with a queued run."""
    alice = Principal(f"user:{users['alice'].pk}")
    made, _ = sessions.create(alice, session_id="hers", title="Secret")
    driving.send(made, "Secret")
    return made


async def call(client, method, path, body=None, **headers):
    data = b"" if body is None else json.dumps(body).encode()
    return await client.generic(
        method, path, data, content_type="application/json", headers=headers
    )


@pytest.mark.parametrize(("method", "path", "body"), SESSION_CALLS)
async def test_R_4_another_s_session_is_like_one_that_does_not_exist(
    charlie_client, hers, method, path, body
):
    refused = await call(charlie_client, method, f"{SESSIONS}/hers{path}", body)
    unknown = await call(charlie_client, method, f"{SESSIONS}/nobodys{path}", body)
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_session")
    assert (refused.content, refused.headers) == (unknown.content, unknown.headers)
    found = await ChatSession.objects.aget()
    assert (found.title, await Message.objects.acount()) == ("Secret", 1)


@pytest.mark.parametrize(("method", "path"), RUN_CALLS)
async def test_R_4_another_s_run_is_like_one_that_does_not_exist(
    charlie_client, hers, method, path
):
    run = await Run.objects.aget()
    refused = await call(charlie_client, method, f"/api/runs/{run.pk}{path}")
    unknown = await call(charlie_client, method, f"/api/runs/{UNKNOWN_RUN}{path}")
    assert refused.status_code == 404
    assert (refused.content, refused.headers) == (unknown.content, unknown.headers)
    assert (await Run.objects.aget()).status == "queued"


async def test_R_2_two_users_sessions_of_one_id_are_two_sessions(alice_client, charlie_client):
    for client, title in ((alice_client, "Hers"), (charlie_client, "His")):
        made = await call(client, "POST", SESSIONS, {"session_id": "default", "title": title})
        assert made.status_code == 201
    for client, title in ((alice_client, "Hers"), (charlie_client, "His")):
        assert (await client.get(f"{SESSIONS}/default")).json()["title"] == title
        listed = (await client.get(SESSIONS)).json()["items"]
        assert [item["title"] for item in listed] == [title]


async def test_R_3_a_list_has_none_of_another_s_sessions(charlie_client, hers):
    assert (await charlie_client.get(SESSIONS)).json() == {"items": [], "next_cursor": None}


async def test_R_3_another_s_cursor_shows_nothing_of_his(alice_client, charlie_client, hers):
    for session_id in ("a", "b"):
        await call(alice_client, "POST", SESSIONS, {"session_id": session_id})
    cursor = (await alice_client.get(SESSIONS, {"limit": 1})).json()["next_cursor"]
    assert (await charlie_client.get(SESSIONS, {"cursor": cursor})).json()["items"] == []


async def test_R_6_a_key_of_another_s_shows_nothing_of_his(alice_client, charlie_client, redis):
    answers = []
    for client in (alice_client, charlie_client):
        await call(client, "POST", SESSIONS, {"session_id": "x"})
        body, path = {"text": "Hi"}, f"{SESSIONS}/x/messages"
        answers.append(await call(client, "POST", path, body, **{"Idempotency-Key": "k"}))
    assert answers[0].json()["run_id"] != answers[1].json()["run_id"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *((method, f"{SESSIONS}/hers{path}") for method, path, _ in SESSION_CALLS),
        *((method, f"/api/runs/{UNKNOWN_RUN}{path}") for method, path in RUN_CALLS),
        *(("GET", SESSIONS), ("POST", SESSIONS), ("GET", "/api/models")),
    ],
)
async def test_R_9_who_is_not_logged_in_is_told_so(async_client, hers, method, path):
    refused = await call(async_client, method, path, {"text": "Hi"} if method == "POST" else None)
    assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")
    assert set(refused.json()) == {"detail", "code"}
    assert await EventRecord.objects.acount() == 3


async def test_R_9_who_was_made_inactive_is_not_logged_in(users, alice_client):
    await User.objects.aupdate(is_active=False)
    assert (await alice_client.get(SESSIONS)).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic YWxpY2U6YWxpY2U="},
        {"Authorization": "Bearer x"},
        {"Cookie": "sessionid=x"},
    ],
    ids=str,
)
async def test_R_9_credentials_that_are_none_are_not_logged_in(async_client, headers):
    assert (await call(async_client, "GET", SESSIONS, **headers)).status_code == 401


@pytest.fixture
def strict_client(users):
    """Alice's browser, as the server sees it: with a CSRF cookie."""
    client = logged_in(users["alice"], enforce_csrf_checks=True)
    client.cookies["csrftoken"] = "a" * 32
    return client


CHANGES = [
    ("POST", SESSIONS, {"session_id": "new"}),
    ("PATCH", f"{SESSIONS}/hers", {"title": "Stolen"}),
    ("DELETE", f"{SESSIONS}/hers", None),
    ("POST", f"{SESSIONS}/hers/messages", {"text": "Hi", "if_running": "enqueue"}),
    ("POST", f"/api/runs/{UNKNOWN_RUN}/cancel", None),
]


@pytest.mark.parametrize("token", [None, "b" * 32, ""], ids=["none", "wrong", "empty"])
@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_R_8_a_cookie_without_its_token_changes_nothing(
    strict_client, hers, method, path, body, token
):
    headers = {} if token is None else {"X-CSRFToken": token}
    refused = await call(strict_client, method, path, body, **headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf")
    assert (await ChatSession.objects.aget()).title == "Secret"


async def test_a_cookie_with_its_token_may_change_things(strict_client, hers):
    answer = await call(
        strict_client, "PATCH", f"{SESSIONS}/hers", {"title": "New"}, **{"X-CSRFToken": "a" * 32}
    )
    assert answer.status_code == 200


async def test_a_cookie_may_read_without_a_token(strict_client, hers):
    assert (await call(strict_client, "GET", f"{SESSIONS}/hers")).status_code == 200


async def test_R_8_a_form_that_carries_the_token_is_refused_without_a_failure(strict_client):
    """Django reads a form to look for the token; then the body is gone."""
    boundary = "xyz"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--{boundary}--\r\n'
    )
    refused = await strict_client.generic(
        "POST",
        SESSIONS,
        body,
        content_type=f"multipart/form-data; boundary={boundary}",
        headers={"X-CSRFToken": "a" * 32},
    )
    assert refused.status_code in (400, 403, 415, 422)
    assert set(refused.json()) == {"detail", "code"}


FOREIGN = [
    *("https://evil.example", "null", "http://testserver.evil.example", "file://"),
    *("http://testserver@evil.example", "http://testserver:8001", "https://testserver"),
    *("http://[", "http://h:abc", "http://testserver:80", "ws://testserver", "é"),
]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("auth", ["open", "required"])
async def test_R_8_a_page_of_another_origin_changes_nothing(
    strict_client, hers, settings, origin, auth
):
    settings.AUTH = auth
    headers = {"Origin": origin, "X-CSRFToken": "a" * 32}
    refused = await call(strict_client, "POST", SESSIONS, {"session_id": "new"}, **headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "foreign_origin")
    assert await ChatSession.objects.acount() == 1


@pytest.mark.parametrize("origin", ["http://testserver", "https://app.example"])
async def test_a_page_of_ours_or_of_one_that_is_trusted_may_change_things(
    strict_client, settings, origin
):
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example"]
    headers = {"Origin": origin, "X-CSRFToken": "a" * 32}
    made = await call(strict_client, "POST", SESSIONS, {"session_id": "new"}, **headers)
    assert made.status_code == 201


async def test_R_11_no_answer_is_shared_with_another_origin(alice_client, hers):
    for path in (SESSIONS, f"{SESSIONS}/hers", f"{SESSIONS}/hers/events", "/api/models"):
        answer = await call(alice_client, "GET", path, Origin="https://evil.example")
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
        answer.close()


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://testserver"])
async def test_R_11_a_preflight_allows_nothing(async_client, origin):
    asked = {"Origin": origin, "Access-Control-Request-Method": "DELETE"}
    asked["Access-Control-Request-Headers"] = "content-type"
    answer = await call(async_client, "OPTIONS", f"{SESSIONS}/hers", **asked)
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_R_12_a_foreign_host_is_refused(async_client):
    answer = await async_client.get(SESSIONS, headers={"Host": "evil.example"})
    assert answer.status_code == 400
