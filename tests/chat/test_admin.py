"""The admin shows everything and changes nothing."""

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chat.models import ApiKey, EventRecord, Message, Run
from costs.models import LedgerEntry, ModelCall, PriceOverride, PriceSnapshot
from costs.usage import Usage
from tests import driving
from tests.costs import calls

pytestmark = pytest.mark.django_db(transaction=True)
MODELS = ("chatsession", "run", "message", "eventrecord")
COSTS = ("modelcall", "ledgerentry", "pricesnapshot")
EVIL = '<img src=x onerror=alert(1)> "><svg onload=alert(2)>'


@pytest.fixture
def admin(client):
    client.force_login(get_user_model().objects.create_superuser("admin", password=None))
    return client


@pytest.fixture
def done(worker, session):
    started = driving.send(session, f"{EVIL} What is 6*7?")
    worker.execute(started.run_id)
    session.title = EVIL
    session.save(update_fields=["title"])
    return Run.objects.get()


def pages():
    yield from (reverse(f"admin:chat_{name}_changelist") for name in MODELS)
    yield from (reverse(f"admin:costs_{name}_changelist") for name in COSTS)
    for model in (Run, Message, EventRecord):
        yield reverse(
            f"admin:chat_{model._meta.model_name}_change", args=[model.objects.first().pk]
        )
    for model in (ModelCall, LedgerEntry, PriceSnapshot):
        yield reverse(
            f"admin:costs_{model._meta.model_name}_change", args=[model.objects.first().pk]
        )


def test_A_1_every_list_and_page_opens_and_escapes_what_people_wrote(admin, done):
    for url in pages():
        answer = admin.get(url)
        assert answer.status_code == 200, url
        assert b"<img src=x" not in answer.content
        assert b"<svg onload" not in answer.content


@pytest.mark.parametrize("name", ["priceoverride", "exchangerate"])
def test_a_form_to_add_a_row_has_nothing_that_is_not_asked_for(admin, name):
    page = admin.get(reverse(f"admin:costs_{name}_add")).content.decode()
    assert "object at 0x" not in page
    assert "Recorded at" not in page


def test_a_run_shows_its_cost_and_leads_to_its_calls(admin, done):
    page = admin.get(reverse("admin:chat_run_change", args=[done.pk])).content.decode()
    amount = sum(LedgerEntry.objects.values_list("amount_pico", flat=True))
    assert f"0.{amount:012d}".rstrip("0") in page
    calls = admin.get(reverse("admin:costs_modelcall_changelist"), {"q": str(done.pk)})
    assert calls.context["cl"].result_count == 2


@pytest.mark.parametrize("name", [*(f"chat_{n}" for n in MODELS), *(f"costs_{n}" for n in COSTS)])
def test_A_6_nothing_can_be_added_changed_or_deleted(admin, done, name):
    assert admin.get(reverse(f"admin:{name}_add")).status_code == 403
    changelist = reverse(f"admin:{name}_changelist")
    assert b"delete_selected" not in admin.get(changelist).content
    pk = admin.get(changelist).context["cl"].queryset.first().pk
    assert admin.post(reverse(f"admin:{name}_delete", args=[pk])).status_code == 403
    assert admin.post(reverse(f"admin:{name}_change", args=[pk]), {}).status_code == 403


@pytest.mark.parametrize(
    "query",
    [
        {"q": "\0"},
        {"q": "x" * 100_000},
        {"q": "' OR 1=1 --"},
        {"o": "999.-1"},
        {"p": "-1"},
        {"p": "999999"},
        {"all": ""},
        {"status__exact": "nonsense"},
        {"session__owner_key__startswith": "u"},
        {"_to_field": "password"},
    ],
)
def test_A_3_a_nonsense_query_is_no_server_error(admin, done, query):
    answer = admin.get(reverse("admin:chat_run_changelist"), query)
    assert answer.status_code in (200, 302, 400)


@pytest.mark.parametrize("pk", ["99999999999999999999", "_5F", "..%2F"])
def test_A_4_an_id_that_cannot_be_one_is_told_as_missing(admin, done, pk):
    assert admin.get(f"/admin/chat/eventrecord/{pk}/change/").status_code in (302, 404)


def test_A_6_a_key_s_digest_is_not_shown(admin, done):
    user = get_user_model().objects.get()
    key = ApiKey.objects.create(user=user, name="k", prefix="cl_abc", digest="secret-digest")
    page = admin.get(reverse("admin:chat_apikey_change", args=[key.pk]))
    assert b"secret-digest" not in page.content


def test_A_6_whoever_is_not_staff_gets_no_further_than_the_login(client, done):
    answer = client.get(reverse("admin:chat_run_changelist"))
    assert answer.status_code == 302
    assert "login" in answer["location"]


def test_a_price_of_our_own_is_added_with_its_author_and_then_stays(admin, transactional_db):
    url = reverse("admin:costs_priceoverride_add")
    form = {"provider": "p", "model_pattern": "m-*", "valid_from_0": "2026-11-01"}
    form |= {"valid_from_1": "00:00", "service_tier": "", "note": ""}
    refused = admin.post(url, form | {"rates": '{"input": 0.15, "output": "1"}'})
    assert b"write it as text" in refused.content
    assert admin.post(url, form | {"rates": '{"input": "0.15", "output": "1"}'}).status_code == 302
    row = PriceOverride.objects.get()
    assert (row.created_by, row.rates) == ("admin", {"input": "0.15", "output": "1"})
    changelist = reverse("admin:costs_priceoverride_changelist")
    assert b"delete_selected" not in admin.get(changelist).content
    for page in ("change", "delete"):
        url = reverse(f"admin:costs_priceoverride_{page}", args=[row.pk])
        assert admin.post(url, form).status_code == 403


def test_calls_without_a_price_are_found(admin, transactional_db):
    payer = calls.payer()
    calls.made(payer, Usage(input=1))
    unpriced = calls.made(payer, Usage(input=1), price=None)
    page = admin.get(reverse("admin:costs_modelcall_changelist"), {"price": "unpriced"})
    assert [call.pk for call in page.context["cl"].queryset] == [unpriced]
    assert b"unpriced</td>" in page.content


@pytest.mark.parametrize("name", [*(f"chat_{n}" for n in MODELS), *(f"costs_{n}" for n in COSTS)])
def test_A_5_no_list_counts_all_rows_or_reads_all_values(admin, done, name):
    with CaptureQueriesContext(connection) as captured:
        assert admin.get(reverse(f"admin:{name}_changelist")).status_code == 200
    asked = [query["sql"] for query in captured if f'FROM "{name}"' in query["sql"]]
    counts = [sql for sql in asked if "COUNT(*)" in sql]
    assert counts
    assert all("LIMIT" in sql for sql in counts)
    if name in ("costs_ledgerentry", "costs_modelcall"):
        assert not any("DISTINCT" in sql for sql in asked)
