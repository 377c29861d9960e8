"""REST: sessions are created, listed, changed and deleted."""

import re

import pytest
from django.test import AsyncClient

from chat import database, leases
from chat.models import ChatSession, EventRecord, Message
from costs.models import LedgerEntry
from tests import driving, invariants

pytestmark = pytest.mark.django_db(transaction=True)

SESSIONS = "/api/sessions"


@pytest.fixture(scope="module")
def async_client():
    """One for all tests: each new one would look for all static files again."""
    return AsyncClient()


async def post(client, path, body=None, **more):
    return await client.post(path, body or {}, content_type="application/json", **more)


async def patch(client, path, body):
    return await client.patch(path, body, content_type="application/json")


async def finished_run(worker, client, session_id, text="[[tokens=3 delay_ms=0]]"):
    """Send a message and execute its run to the end."""
    sent = await post(client, f"{SESSIONS}/{session_id}/messages", {"text": text})
    assert sent.status_code == 202, sent.content
    await database.read(lambda: worker.execute(sent.json()["run_id"]))
    return sent.json()["run_id"]


async def test_a_session_is_created_with_an_id_of_the_server(async_client):
    answer = await post(async_client, SESSIONS, {"title": "Trip", "model": "scripted:demo"})
    assert answer.status_code == 201
    made = answer.json()
    assert re.fullmatch("[0-9a-f]{32}", made.pop("session_id"))
    assert re.fullmatch("[0-9a-f]{8}", made.pop("epoch"))
    assert made.pop("created_at") == made.pop("updated_at")
    assert made == {
        "title": "Trip",
        "model": "scripted:demo",
        "last_seq": 0,
        "active_run_id": None,
    }


async def test_an_id_that_the_caller_has_already_gives_the_same_session(async_client):
    first = await post(async_client, SESSIONS, {"session_id": "default", "title": "First"})
    again = await post(async_client, SESSIONS, {"session_id": "default", "title": "Second"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert await ChatSession.objects.acount() == 1


@pytest.mark.parametrize("session_id", ["a", "A-z_0.9~:@", "x" * 128, "..", "constructor"])
async def test_an_id_of_the_client_works_in_every_path(async_client, session_id):
    made = await post(async_client, SESSIONS, {"session_id": session_id})
    assert (made.status_code, made.json()["session_id"]) == (201, session_id)
    for path in ("", "/messages", "/costs"):
        found = await async_client.get(f"{SESSIONS}/{session_id}{path}")
        assert found.status_code == 200, path


@pytest.mark.parametrize(
    "session_id",
    [
        *("", " ", "a b", "a/b", "../../etc/passwd", "%2e%2e", "a\nb", "default\n", "x" * 129),
        *("'; DROP TABLE--", "<script>", "*", "g1!x", "é", "😀", "a\u0000b", "１", "x" * 10_000),
    ],
    ids=ascii,
)
async def test_R_2_an_id_with_other_characters_is_refused(async_client, session_id):
    refused = await post(async_client, SESSIONS, {"session_id": session_id})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_session_id")
    assert await ChatSession.objects.acount() == 0


async def test_a_session_is_found_as_it_was_created(async_client):
    made = await post(async_client, SESSIONS, {"session_id": "mine"})
    found = await async_client.get(f"{SESSIONS}/mine")
    assert (found.status_code, found.json()) == (200, made.json())


async def test_sessions_are_listed_newest_first_without_one_lost_or_doubled(async_client):
    for number in range(7):
        await post(async_client, SESSIONS, {"session_id": f"s{number}"})
    pages, query = [], {"limit": 3}
    while query.get("cursor", "") is not None and len(pages) < 10:
        page = (await async_client.get(SESSIONS, query)).json()
        pages.append([item["session_id"] for item in page["items"]])
        query["cursor"] = page["next_cursor"]
    assert pages == [["s6", "s5", "s4"], ["s3", "s2", "s1"], ["s0"]]


async def test_sessions_of_the_same_moment_are_paged_without_one_lost_or_doubled(async_client):
    for number in range(7):
        await post(async_client, SESSIONS, {"session_id": f"s{number}"})
    await ChatSession.objects.aupdate(updated_at="2026-01-02T03:04:05Z")
    first = (await async_client.get(SESSIONS, {"limit": 3})).json()
    query = {"limit": 3, "cursor": first["next_cursor"]}
    second = (await async_client.get(SESSIONS, query)).json()
    third = (await async_client.get(SESSIONS, query | {"cursor": second["next_cursor"]})).json()
    listed = [i["session_id"] for page in (first, second, third) for i in page["items"]]
    assert listed == ["s6", "s5", "s4", "s3", "s2", "s1", "s0"]
    assert third["next_cursor"] is None


async def test_a_page_that_is_just_full_is_the_last(async_client):
    for number in range(3):
        await post(async_client, SESSIONS, {"session_id": f"s{number}"})
    page = (await async_client.get(SESSIONS, {"limit": 3})).json()
    assert (len(page["items"]), page["next_cursor"]) == (3, None)


async def test_a_message_moves_its_session_to_the_top_and_names_it(async_client, redis):
    for session_id in ("old", "new"):
        await post(async_client, SESSIONS, {"session_id": session_id})
    await post(async_client, f"{SESSIONS}/old/messages", {"text": "  How\n are you? "})
    listed = (await async_client.get(SESSIONS)).json()["items"]
    assert [(i["session_id"], i["title"]) for i in listed] == [("old", "How are you?"), ("new", "")]


async def test_a_title_that_was_given_stays(async_client, redis):
    await post(async_client, SESSIONS, {"session_id": "mine", "title": "Trip"})
    await post(async_client, f"{SESSIONS}/mine/messages", {"text": "Hi"})
    assert (await async_client.get(f"{SESSIONS}/mine")).json()["title"] == "Trip"


async def test_a_session_tells_its_active_run(async_client, redis):
    await post(async_client, SESSIONS, {"session_id": "mine"})
    sent = (await post(async_client, f"{SESSIONS}/mine/messages", {"text": "Hi"})).json()
    found = (await async_client.get(f"{SESSIONS}/mine")).json()
    assert (found["active_run_id"], found["last_seq"]) == (sent["run_id"], sent["seq"])


async def test_a_session_is_renamed(async_client):
    await post(async_client, SESSIONS, {"session_id": "mine", "title": "Old", "model": None})
    changed = await patch(async_client, f"{SESSIONS}/mine", {"title": "New"})
    assert (changed.status_code, changed.json()["title"]) == (200, "New")
    assert (await async_client.get(f"{SESSIONS}/mine")).json()["title"] == "New"


async def test_the_model_of_a_session_is_changed_and_its_title_stays(async_client):
    await post(async_client, SESSIONS, {"session_id": "mine", "title": "Old"})
    changed = await patch(async_client, f"{SESSIONS}/mine", {"model": "scripted:demo"})
    assert changed.json()["model"] == "scripted:demo"
    assert changed.json()["title"] == "Old"


async def test_a_change_of_nothing_changes_nothing(async_client):
    made = await post(async_client, SESSIONS, {"session_id": "mine", "title": "Old"})
    changed = await patch(async_client, f"{SESSIONS}/mine", {})
    assert (changed.status_code, changed.json()) == (200, made.json())


@pytest.mark.parametrize("model", ["openai:gpt-4o-mini", "scripted:other", "nobody:demo"])
@pytest.mark.parametrize("way", ["create", "change", "send"])
async def test_R_7_a_model_that_cannot_be_used_is_refused(async_client, model, way, redis):
    await post(async_client, SESSIONS, {"session_id": "mine"})
    if way == "create":
        refused = await post(async_client, SESSIONS, {"session_id": "other", "model": model})
    elif way == "change":
        refused = await patch(async_client, f"{SESSIONS}/mine", {"model": model})
    else:
        body = {"text": "Hi", "model": model}
        refused = await post(async_client, f"{SESSIONS}/mine/messages", body)
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_model")
    assert (await async_client.get(SESSIONS)).json()["items"][0]["model"] == ""
    assert not await EventRecord.objects.aexists()


async def test_R_4_a_session_is_deleted_once(async_client, mine):
    assert (await async_client.delete("/api/sessions/mine")).status_code == 204
    again = await async_client.delete("/api/sessions/mine")
    unknown = await async_client.delete("/api/sessions/nobodys")
    assert (again.status_code, again.content) == (404, unknown.content)


async def test_a_deleted_session_is_gone_and_its_costs_stay_in_the_ledger(worker, async_client):
    await post(async_client, SESSIONS, {"session_id": "mine"})
    run_id = await finished_run(worker, async_client, "mine")
    charged = await LedgerEntry.objects.acount()
    deleted = await async_client.delete(f"{SESSIONS}/mine")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await async_client.get(f"{SESSIONS}/mine")).status_code == 404
    assert (await async_client.delete(f"{SESSIONS}/mine")).status_code == 404
    assert (await async_client.get(f"/api/runs/{run_id}")).status_code == 404
    assert not await Message.objects.aexists()
    assert not await EventRecord.objects.aexists()
    assert await LedgerEntry.objects.acount() == charged > 0


async def test_a_new_session_of_an_old_id_starts_without_the_old_one_s_costs(worker, async_client):
    await post(async_client, SESSIONS, {"session_id": "mine"})
    await finished_run(worker, async_client, "mine")
    await async_client.delete(f"{SESSIONS}/mine")
    await post(async_client, SESSIONS, {"session_id": "mine"})
    costs = (await async_client.get(f"{SESSIONS}/mine/costs")).json()
    assert (costs["total"], costs["prompt_tokens"], costs["runs"]) == (None, 0, [])


async def test_R_4_a_session_with_an_active_run_is_not_deleted(async_client, redis):
    await post(async_client, SESSIONS, {"session_id": "mine"})
    sent = (await post(async_client, f"{SESSIONS}/mine/messages", {"text": "Hi"})).json()
    for claimed in (False, True):
        if claimed:
            assert await database.write(leases.claim, sent["run_id"], worker="somebody")
        refused = await async_client.delete(f"{SESSIONS}/mine")
        assert (refused.status_code, refused.json()["code"]) == (409, "run_active")
    assert await Message.objects.acount() == 1


async def test_a_session_is_deleted_once_its_run_was_cancelled(async_client, redis):
    await post(async_client, SESSIONS, {"session_id": "mine"})
    sent = (await post(async_client, f"{SESSIONS}/mine/messages", {"text": "Hi"})).json()
    await post(async_client, f"/api/runs/{sent['run_id']}/cancel")
    assert (await async_client.delete(f"{SESSIONS}/mine")).status_code == 204


async def test_the_costs_of_a_session_are_those_of_its_runs(worker, async_client):
    await post(async_client, SESSIONS, {"session_id": "mine"})
    run_ids = [await finished_run(worker, async_client, "mine") for _ in range(2)]
    runs = [(await async_client.get(f"/api/runs/{run_id}")).json() for run_id in run_ids]
    costs = (await async_client.get(f"{SESSIONS}/mine/costs")).json()
    assert costs["runs"] == [
        {
            "run_id": run["run_id"],
            "cost": run["cost"],
            "estimated": False,
            "prompt_tokens": run["usage"]["prompt_tokens"],
            "completion_tokens": 3,
        }
        for run in runs
    ]
    prompt_tokens = sum(run["usage"]["prompt_tokens"] for run in runs)
    assert costs["prompt_tokens"] == prompt_tokens
    assert costs["total"] == driving_cost(prompt_tokens, 6)
    assert (costs["currency"], costs["estimated"], costs["unpriced_calls"]) == ("USD", False, 0)


async def test_a_session_without_a_run_has_cost_nothing_that_is_known(async_client):
    await post(async_client, SESSIONS, {"session_id": "mine"})
    costs = (await async_client.get(f"{SESSIONS}/mine/costs")).json()
    assert (costs["total"], costs["runs"], costs["completion_tokens"]) == (None, [], 0)


async def test_what_was_sent_over_rest_keeps_every_invariant(worker, async_client):
    await post(async_client, SESSIONS, {"session_id": "mine"})
    await finished_run(worker, async_client, "mine", "What is 6 * 7?")
    session = await ChatSession.objects.aget()
    await database.read(invariants.check_session, session)
    assert "42" in await database.read(driving.text_of, session)


def driving_cost(prompt_tokens, completion_tokens):
    """The scripted provider's price: 1 and 4 USD per million tokens."""
    micro_usd = prompt_tokens + 4 * completion_tokens
    return f"{micro_usd / 10**6:.6f}".rstrip("0")
