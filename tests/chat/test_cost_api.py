"""GET /api/costs: what a caller has spent, what all have spent, as JSON and as CSV."""

import csv
import io
import random
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission, User
from django.test import AsyncClient

from costs import money, report_query
from costs.ledger import Payer
from costs.models import LedgerEntry
from tests.costs import storm

pytestmark = pytest.mark.django_db(transaction=True)

EVIL = "=cmd|' /C calc'!A1"


@pytest.fixture(scope="module")
def async_client():
    return AsyncClient()


@pytest.fixture
def people(transactional_db, settings):
    """Alice and Charlie have spent something, Bob may see it."""
    settings.AUTH = "required"
    users = {name: User.objects.create_user(name) for name in ("alice", "bob", "charlie")}
    users["bob"].is_staff = True
    users["bob"].save()
    users["bob"].user_permissions.add(Permission.objects.get(codename="view_cost_report"))
    for number, name in enumerate(("alice", "charlie", "alice")):
        spend(users[name], number)
    return users


def spend(user, number, **more):
    owner_key = f"user:{user.pk}"
    payer = Payer(
        run_id=uuid.uuid4(),
        attempt=1,
        session_key=f"{owner_key}/a.b.c.0123abcd",
        owner_key=owner_key,
    )
    at = datetime.now(UTC) - timedelta(seconds=number)
    storm.make(random.Random(number), payer, at=at, price=storm.PRICE, output=10, **more)


async def get(client, user, query="", **headers):
    await client.aforce_login(user)
    return await client.get(f"/api/costs?{query}", headers=headers)


async def body(answer):
    return b"".join([piece async for piece in answer.streaming_content]).decode()


async def spent(user=None):
    entries = LedgerEntry.objects.all()
    if user:
        entries = entries.filter(owner_key=f"user:{user.pk}")
    return money.plain(sum([a async for a in entries.values_list("amount_pico", flat=True)]))


async def test_callers_see_what_they_have_spent_and_those_who_may_see_all(people, async_client):
    for name in ("alice", "charlie"):
        told = (await get(async_client, people[name], "group_by=user")).json()
        assert [item["user"] for item in told["items"]] == [f"user:{people[name].pk}"]
        assert told["items"][0]["cost"] == told["total"]["cost"] == await spent(people[name])
    told = (await get(async_client, people["bob"], "group_by=session")).json()
    assert {(item["user"], item["session"]) for item in told["items"]} == {
        (f"user:{people[name].pk}", "a.b.c") for name in ("alice", "charlie")
    }
    assert told["total"]["cost"] == await spent()
    assert told["latency"][0]["calls"] <= 3
    people["bob"].is_staff = False
    await people["bob"].asave()
    assert (await get(async_client, people["bob"])).json()["items"] == []


async def test_A_6_costs_of_one_user_are_for_those_who_may_see_all_and_for_himself(
    people, async_client
):
    for name in ("alice", f"user:{people['alice'].pk}"):
        for asking in ("alice", "bob"):
            told = (await get(async_client, people[asking], f"user={name}")).json()
            assert told["total"]["cost"] == await spent(people["alice"])
        assert (await get(async_client, people["charlie"], f"user={name}")).status_code == 403
    nobody = await get(async_client, people["charlie"], "user=nobody")
    assert (nobody.status_code, nobody.json()["code"]) == (403, "forbidden")
    unknown = await get(async_client, people["bob"], "user=nobody")
    assert (unknown.status_code, unknown.json()["code"]) == (422, "invalid_report")
    assert "nobody" in unknown.json()["detail"]
    gone = (await get(async_client, people["bob"], "user=user:99999")).json()
    assert (gone["items"], gone["total"]["cost"]) == ([], "0")


@pytest.mark.parametrize("groups", report_query.GROUPS)
async def test_costs_are_grouped_and_bounded(people, async_client, groups):
    told = (await get(async_client, people["bob"], f"group_by={groups}&limit=1")).json()
    assert len(told["items"]) == 1
    assert told["group_by"] == [groups]
    assert groups in told["items"][0]
    assert told["total"]["calls"] == 3
    assert told["groups"] >= 1


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-02-30",
        "to=9999-12-31",
        "from=2026-03-02&to=2026-03-01",
        "from=1990-01-01",
        "from=%00",
        "group_by=password",
        "group_by=day,,",
        "limit=0",
        "limit=100000",
        "format=exe",
        "currency=EUR",
        "currency=EUR&format=csv",
    ],
)
async def test_A_7_what_is_no_report_is_refused(people, async_client, query):
    answer = await get(async_client, people["alice"], query)
    assert answer.status_code == 422
    assert answer.json()["detail"]


async def test_A_2_a_spreadsheet_takes_no_cell_for_a_formula(people, async_client):
    await User.objects.filter(pk=people["alice"].pk).aupdate(is_superuser=True, is_staff=True)
    for number, model in enumerate((EVIL, "@SUM", '+1"', "-1,2", "\tx", "\rx"), 5):
        await sync_to_async(spend)(people["charlie"], number, model=model)
    answer = await get(async_client, people["alice"], "group_by=model", Accept="text/csv")
    assert answer["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(await body(answer), newline="")))
    assert {f"'{EVIL}", "'@SUM", "'+1\"", "'-1,2", "'\tx", "'\rx"} <= {row["model"] for row in rows}
    amounts = [row["cost"] for row in rows]
    assert all(amount[0].isdigit() and "e" not in amount.lower() for amount in amounts)
    total = sum(money.pico(Decimal(amount)) for amount in amounts)
    assert money.plain(total) == await spent()


async def test_csv_has_all_lines_and_is_one_s_own(people, async_client):
    answer = await get(async_client, people["charlie"], "group_by=run&format=csv&limit=1")
    rows = list(csv.DictReader(io.StringIO(await body(answer))))
    assert [row["cost"] for row in rows] == [await spent(people["charlie"])]
    anonymous = await AsyncClient().get("/api/costs")
    assert anonymous.status_code == 401
