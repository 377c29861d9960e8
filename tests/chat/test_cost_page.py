"""The cost report in the admin."""

import random
import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from chat.models import ChatSession
from costs import report_query
from costs.ledger import Payer
from costs.models import LedgerEntry
from costs.usage import Usage
from tests.costs import calls, storm

pytestmark = pytest.mark.django_db
EVIL = '<img src=x onerror=alert(1)> "><svg onload=alert(2)>'
URL = reverse("admin:costs_dailycost_changelist")


@pytest.fixture
def bob(client):
    """Staff who may see the report and nothing else."""
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_cost_report"))
    client.force_login(user)
    return user


@pytest.fixture
def spent(bob):
    now = datetime.now(UTC)
    storm.brew(1, calls=30, first=now - timedelta(days=3), days=3)
    owner_key = f"user:{bob.pk}"
    payer = Payer(
        run_id=uuid.uuid4(), attempt=1, session_key=f"{owner_key}/his.0", owner_key=owner_key
    )
    storm.make(random.Random(2), payer, at=now, price=storm.PRICE, output=9, model=EVIL)
    return {"from": str((now - timedelta(days=3)).date()), "to": str(now.date())}


@pytest.mark.parametrize("group", [*report_query.GROUPS, "day,model", "user,model"])
def test_M8_A_1_the_page_shows_the_ledger_s_sum_and_escapes_what_people_wrote(client, spent, group):
    answer = client.get(URL, {**spent, "group_by": group})
    page = answer.content.decode()
    amounts = LedgerEntry.objects.values_list("amount_pico", flat=True)
    assert answer.context["report"].total.amount_pico == sum(a for a in amounts if a)
    assert f"<strong>{answer.context['report'].total.amount}</strong>" in page
    assert "<img src=x" not in page
    assert "<svg onload" not in page
    drawn = re.search(r"<svg .*?</svg>", page, re.DOTALL)[0]
    assert not re.search(r"<script|<style|style=|on\w+=|http://(?!www\.w3\.org)", drawn)
    assert "default-src 'self'" in answer["Content-Security-Policy"]


def test_a_bar_is_as_high_as_what_it_shows(client, bob):
    payer = calls.payer()
    calls.made(payer, Usage(input=16_690), at=datetime.now(UTC))
    calls.made(payer, Usage(input=2_634), at=datetime.now(UTC), status="failed")
    page = client.get(URL).content.decode()
    assert "Cost by day, in 0.001 USD" in page
    day = f"{datetime.now(UTC):%m-%d}"
    assert f"<title>{day}: 16.69</title>" in page
    assert f"<title>{day}: 2.634</title>" in page


def test_users_have_their_names_and_lead_to_their_sessions(client, bob, spent):
    page = client.get(URL, {**spent, "group_by": "user"}).content.decode()
    assert ">bob</a>" in page
    his = client.get(URL, {**spent, "group_by": "session", "user": "bob"})
    assert "his" in {row.cells[-1].text for row in his.context["rows"]}
    assert f"user=user%3A{bob.pk}" in his.context["csv"]


def test_sessions_have_their_titles_for_those_who_may_read_them(client, bob):
    session = ChatSession.objects.create(owner_key=f"user:{bob.pk}", title="About pears")
    for key in (session.ledger_key, f"user:{bob.pk}/{session.session_id}.older"):
        payer = replace(calls.payer(), session_key=key, owner_key=session.owner_key)
        calls.made(payer, Usage(input=5), at=datetime.now(UTC))
    answer = client.get(URL, {"group_by": "session"})
    assert {row.cells[-1].text for row in answer.context["rows"]} == {session.session_id}
    bob.user_permissions.add(Permission.objects.get(codename="view_chatsession"))
    answer = client.get(URL, {"group_by": "session"})
    told = [row.cells[-1].text for row in answer.context["rows"]]
    assert sorted(told) == sorted(["About pears", session.session_id])


def test_what_is_not_there_is_said(client, bob):
    page = client.get(URL).content.decode()
    assert "No model was asked for anything" in page
    index = client.get(reverse("admin:index")).content.decode()
    assert URL in index


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-02-30"},
        {"to": "9999-12-31"},
        {"from": "2026-03-02", "to": "2026-03-01"},
        {"group_by": "password"},
        {"user": "nobody"},
        {"from": "../etc" + "x" * 10**4},
    ],
)
def test_A_7_a_report_that_is_none_is_a_400_with_a_reason(client, bob, query):
    answer = client.get(URL, query, headers={"Accept": "text/html"})
    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()


def test_A_3_a_nul_is_no_server_error(client, bob):
    assert client.get(f"{URL}?q=%00&o=-1").status_code == 200
    assert client.get(f"{URL}?user=%00").status_code == 400


def test_A_6_who_may_not_see_it_does_not(client, bob):
    bob.user_permissions.clear()
    assert client.get(URL).status_code == 403
    assert URL not in client.get(reverse("admin:index")).content.decode()
    client.logout()
    assert "login" in client.get(URL)["location"]
