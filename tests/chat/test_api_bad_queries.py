"""REST: a query that is nonsense is refused with an answer that programs can read."""

import base64
import json

import pytest
from django.test import AsyncClient

from chat.models import ChatSession
from tests.chat.test_api_bad_input import MESSAGES, SESSIONS, is_problem

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def async_client():
    """One for all tests: each new one would look for all static files again."""
    return AsyncClient()


@pytest.fixture(autouse=True)
def mine(transactional_db):
    return ChatSession.objects.create(owner_key="open", session_id="mine", title="Mine")


@pytest.mark.parametrize("limit", ["-1", "0", "101", "1e9", "abc", "1.5", "", "%00"])
@pytest.mark.parametrize("path", [SESSIONS, MESSAGES])
async def test_R_3_a_limit_that_is_no_number_from_1_to_100_is_refused(async_client, path, limit):
    assert is_problem(await async_client.get(f"{path}?limit={limit}"), 422)


@pytest.mark.parametrize("before", ["-1", str(2**63), str(2**70), "abc", "1.5", "", "%00", "null"])
async def test_R_3_a_place_that_is_none_is_refused(async_client, before):
    assert is_problem(await async_client.get(f"{MESSAGES}?before={before}"), 422)


def cursor(value):
    """A cursor with this content, as the server would make it."""
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "wrong",
    [
        *("abc", "%00", "é", "====", "x" * 5000),
        cursor([]),
        cursor(["2026-01-01T00:00:00+00:00"]),
        cursor(["2026-01-01T00:00:00+00:00", 1, 2]),
        cursor(["yesterday", 1]),
        cursor([7, 1]),
        cursor(["2026-01-01T00:00:00", 1]),
        cursor(["2026-01-01T00:00:00+00:00", "x"]),
        cursor(["2026-01-01T00:00:00+00:00", None]),
        cursor('["2026-01-01T00:00:00+00:00", 1e400]'),
        cursor('["2026-01-01T00:00:00+00:00", NaN]'),
        cursor(["0001-01-01T00:00:00+23:00", 1]),
        cursor(["9999-12-31T23:59:59-23:00", 1]),
        cursor({"a": 1, "b": 2}),
        cursor("[" * 3000),
    ],
    ids=lambda text: ascii(text)[:30],
)
async def test_R_3_a_cursor_that_is_none_of_ours_is_refused(async_client, wrong):
    answer = await async_client.get(SESSIONS, {"cursor": wrong})
    assert is_problem(answer, 400)
    assert answer.json()["code"] == "invalid_cursor"


@pytest.mark.parametrize("key", [2**63, 2**70, -(2**70)])
async def test_R_3_a_cursor_with_a_number_beyond_every_key_gives_a_page(async_client, key):
    answer = await async_client.get(
        SESSIONS, {"cursor": cursor(["2026-01-01T00:00:00+00:00", key])}
    )
    assert answer.status_code in (200, 400)
