"""The page, the health endpoints, and the description of the API."""

import json
import re

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import AsyncClient

from project import manifest

pytestmark = pytest.mark.django_db(transaction=True)

INLINE_SCRIPT = re.compile(r"<script(?![^>]*\bsrc=)", re.IGNORECASE)
INLINE_HANDLER = re.compile(r"<[^>]*\son[a-z]+\s*=", re.IGNORECASE)
INLINE_STYLE = re.compile(r"<style|<[^>]*\sstyle\s*=", re.IGNORECASE)
#: What the browser would fetch from somewhere else.
ELSEWHERE = re.compile(r"(?:src|href|action)\s*=\s*[\"']?(?:https?:)?//", re.IGNORECASE)

ENDPOINTS = [
    *("post /api/sessions", "get /api/sessions", "get /api/sessions/{session_id}"),
    *("patch /api/sessions/{session_id}", "delete /api/sessions/{session_id}"),
    *("get /api/sessions/{session_id}/messages", "post /api/sessions/{session_id}/messages"),
    *("get /api/sessions/{session_id}/events", "get /api/sessions/{session_id}/costs"),
    *("get /api/runs/{run_id}", "post /api/runs/{run_id}/cancel", "get /api/models"),
    *("get /health/live", "get /health/ready"),
]


@pytest.fixture(scope="module")
def async_client():
    """One for all tests: each new one would look for all static files again."""
    return AsyncClient()


async def test_the_page_suggests_what_the_agent_of_a_manifest_can_do(async_client, monkeypatch):
    page = (await async_client.get("/")).content.decode()
    assert "What time is it in UTC?" in page
    metadata = {"name": "vera", "description": "<i>Counts."}
    spec = {"role": "x", "tools": [{"name": "calculator", "type": "function"}]}
    told = {"metadata": metadata, "spec": spec}
    made = manifest.parse(json.dumps(told), {}, name="agent.ossa.yaml")
    monkeypatch.setattr(settings.ENV, "manifest", made)
    page = (await async_client.get("/")).content.decode()
    assert "What time is it in UTC?" not in page
    assert "What is 12.5% of 3,480?" in page
    assert "You are talking to vera. &lt;i&gt;Counts." in page


@pytest.mark.parametrize("path", ["/", "/s/mine", "/s/%3Cscript%3E"])
async def test_the_page_lets_nothing_run_that_is_not_a_file_of_ours(async_client, path):
    answer = await async_client.get(path)
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.split(" ", 1) for part in answer["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in answer["Content-Security-Policy"]
    page = answer.content.decode()
    for forbidden in (INLINE_SCRIPT, INLINE_HANDLER, INLINE_STYLE, ELSEWHERE):
        assert not forbidden.findall(page), forbidden.findall(page)


async def test_A_8_the_page_comes_with_the_headers_of_a_careful_site(async_client):
    answer = await async_client.get("/")
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"


async def test_the_page_brings_the_csrf_cookie(async_client):
    answer = await async_client.get("/")
    assert answer.cookies["csrftoken"]["samesite"] == "Lax"


async def test_every_file_that_the_page_names_is_there(async_client):
    page = (await async_client.get("/")).content.decode()
    files = set(re.findall(r"(?:src|href)=\"(/static/[^\"]+)\"", page))
    assert len(files) > 5
    for file in files:
        found = await async_client.get(file)
        assert found.status_code == 200, file
        found.close()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method, path)
        for method in ("POST", "PUT", "DELETE")
        for path in ("/", "/s/mine", "/health/live", "/health/ready")
        # Other agents post their messages to the root.
        if (method, path) != ("POST", "/")
    ],
)
async def test_nothing_is_sent_to_a_page(async_client, method, path):
    assert (await async_client.generic(method, path)).status_code == 405


async def test_who_is_not_logged_in_is_sent_to_the_login(async_client, settings):
    settings.AUTH = "required"
    answer = await async_client.get("/s/mine")
    assert answer.status_code == 302
    assert answer["Location"] == "/login/?next=/s/mine"


@pytest.mark.django_db(transaction=True)
async def test_who_is_logged_in_is_shown_the_page_with_his_name(settings):
    settings.AUTH = "required"
    client = AsyncClient()
    user = await User.objects.acreate_user("alice<b>")
    await client.aforce_login(user)
    answer = await client.get("/")
    assert answer.status_code == 200
    assert "alice&lt;b&gt;" in answer.content.decode()
    assert "alice<b>" not in answer.content.decode()


async def test_a_process_that_answers_is_live_without_redis(async_client, redis):
    redis.kill()
    answer = await async_client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_process_is_ready_when_its_parts_answer(async_client, redis):
    answer = await async_client.get("/health/ready")
    parts = {"database": "ok", "redis": "ok"}
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "parts": parts})


async def test_a_process_without_redis_is_not_ready_and_says_so(async_client, redis):
    redis.kill()
    answer = await async_client.get("/health/ready")
    parts = {"database": "ok", "redis": "down"}
    assert (answer.status_code, answer.json()) == (503, {"status": "down", "parts": parts})


async def test_R_21_a_process_without_a_database_is_not_ready_and_says_no_more(
    async_client, redis, monkeypatch
):
    def fail():
        raise OSError("host=secret user=secret")

    monkeypatch.setattr("chat.health._ask_database", fail)
    answer = await async_client.get("/health/ready")
    assert (answer.status_code, answer.json()["parts"]["database"]) == (503, "down")
    assert "secret" not in answer.content.decode()


async def test_health_is_told_to_who_is_not_logged_in(async_client, settings, redis):
    settings.AUTH = "required"
    for path in ("/health/live", "/health/ready"):
        assert (await async_client.get(path)).status_code == 200


@pytest.fixture
async def description(async_client):
    answer = await async_client.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def references(value):
    """Everything that the description refers to within itself."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


async def test_the_description_is_openapi_3_1(description):
    assert description["openapi"].startswith("3.1.")
    assert {"title", "version"} <= set(description["info"])
    assert "paths" in description


async def test_the_description_says_how_to_show_a_key(description):
    assert description["components"]["securitySchemes"]["ApiKeyOrCookie"]["scheme"] == "bearer"
    assert description["paths"]["/api/sessions"]["get"]["security"] == [{"ApiKeyOrCookie": []}]
    assert "security" not in description["paths"]["/health"]["get"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_the_description_has_every_endpoint(description, endpoint):
    method, path = endpoint.split(" ")
    operation = description["paths"][path][method]
    assert operation["responses"]
    named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
    assert named == set(re.findall(r"\{(\w+)\}", path))


async def test_the_description_refers_to_nothing_that_is_missing(description):
    for reference in references(description):
        found = description
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        assert isinstance(found, dict), reference


async def test_every_operation_has_an_id_of_its_own(description):
    ids = [
        operation["operationId"]
        for path in description["paths"].values()
        for operation in path.values()
    ]
    assert len(ids) == len(set(ids))


async def test_the_description_says_that_events_are_a_stream(description):
    events = description["paths"]["/api/sessions/{session_id}/events"]["get"]
    assert list(events["responses"]["200"].get("content", {})) == ["text/event-stream"]
    names = {(p["in"], p["name"]) for p in events["parameters"]}
    assert {("query", "after"), ("header", "Last-Event-ID")} <= names


async def test_the_description_has_the_key_of_a_message(description):
    send = description["paths"]["/api/sessions/{session_id}/messages"]["post"]
    assert ("header", "Idempotency-Key") in {(p["in"], p["name"]) for p in send["parameters"]}
    assert {"202", "409", "422"} <= {str(status) for status in send["responses"]}


async def test_R_21_the_docs_need_no_other_host(async_client):
    answer = await async_client.get("/docs")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "swagger-ui" in page
    assert not ELSEWHERE.findall(page)
    for file in set(re.findall(r"(?:src|href)=\"(/static/[^\"]+)\"", page)):
        found = await async_client.get(file)
        assert found.status_code == 200, file
        found.close()
