import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

from chat import api_keys
from chat.models import ChatSession
from costs.budget_models import Budget, BudgetWindow

pytestmark = pytest.mark.django_db
DOLLAR = 10**12


@pytest.fixture
def admin(client):
    client.force_login(get_user_model().objects.create_superuser("admin", password=None))
    return client


@pytest.fixture
def window():
    budget = Budget.objects.create(scope="user", period="day", limit_pico=5 * DOLLAR)
    return BudgetWindow.objects.create(
        budget=budget, key="user:5", starts_on="2026-11-21", spent_pico=4 * DOLLAR
    )


@pytest.mark.parametrize(
    ("limit", "kept"), [("0.000000000001", 1), ("12.5", 125 * DOLLAR // 10), ("0", 0)]
)
def test_a_budget_is_made_in_dollars(admin, limit, kept):
    said = {"scope": "user", "period": "day", "limit_pico": limit, "soft_percent": "80"}
    answer = admin.post(reverse("admin:costs_budget_add"), said)
    assert answer.status_code == 302
    assert Budget.objects.get().limit_pico == kept
    page = admin.get(reverse("admin:costs_budget_change", args=[Budget.objects.get().pk]))
    assert f'value="{limit}"' in page.content.decode()


@pytest.mark.parametrize("limit", ["", "-1", "NaN", "many", "99999999999"])
def test_what_is_no_amount_is_refused(admin, limit):
    said = {"scope": "user", "period": "day", "limit_pico": limit, "soft_percent": "80"}
    answer = admin.post(reverse("admin:costs_budget_add"), said)
    assert answer.status_code == 200
    assert answer.context["adminform"].errors["limit_pico"]
    assert not Budget.objects.exists()


def add(admin, **said):
    given = {"period": "day", "limit_pico": "1", "soft_percent": "80", **said}
    return admin.post(reverse("admin:costs_budget_add"), given)


@pytest.fixture
def nora():
    return get_user_model().objects.create_user("nora")


def test_a_budget_s_key_is_what_people_call_it(admin, nora):
    key, _ = api_keys.create(nora, name="ci")
    session = ChatSession.objects.create(owner_key=f"user:{nora.pk}")
    named = [
        ("user", "nora", f"user:{nora.pk}", f"user:{nora.pk} per day"),
        ("api_key", "ci", str(key.pk), f"API key {key.pk} per day"),
        (
            "session",
            session.session_id,
            session.ledger_key,
            f"session {session.ledger_key} per day",
        ),
        ("model", "openai:gpt-4o", "openai:gpt-4o", "openai:gpt-4o per day"),
        ("everything", "", "", "everything per day"),
        ("user", "", "", "each user per day"),
    ]
    for scope, said, kept, called in named:
        assert add(admin, scope=scope, key=said).status_code == 302
        budget = Budget.objects.get(scope=scope, key=kept)
        assert str(budget) == called
        # By its own words it stays as it is, and so it does when its owner is gone.
        change = reverse("admin:costs_budget_change", args=[budget.pk])
        more = {"scope": scope, "period": "day", "soft_percent": "80"}
        assert admin.post(change, more | {"key": kept, "limit_pico": "2"}).status_code == 302
    owner_key = f"user:{nora.pk}"
    nora.delete()
    url = reverse("admin:costs_budget_change", args=[Budget.objects.get(key=owner_key).pk])
    more = {"scope": "user", "key": owner_key, "period": "day", "soft_percent": "80"}
    assert admin.post(url, more | {"limit_pico": "3"}).status_code == 302


@pytest.mark.parametrize(
    ("scope", "key"),
    [
        ("user", "nobody"),
        ("user", "user:99999"),
        ("user", "99999"),
        ("api_key", "none"),
        ("api_key", "99999"),
        ("session", "none-such"),
        ("session", "user:1/none-such.0123abcd"),
        ("model", "gpt-4o"),
        ("model", "nowhere:gpt-4o"),
        ("everything", "x"),
        ("user", "x" * 240),
    ],
)
def test_A_7_a_budget_that_would_limit_nothing_is_refused(admin, scope, key):
    answer = add(admin, scope=scope, key=key)
    assert answer.status_code == 200
    assert answer.context["adminform"].errors["key"]
    assert not Budget.objects.exists()


def test_a_session_s_id_that_two_users_have_is_told_with_both_keys(admin, nora):
    owners = [f"user:{nora.pk}", "open"]
    keys = [ChatSession.objects.create(owner_key=o, session_id="mine").ledger_key for o in owners]
    said = str(add(admin, scope="session", key="mine").context["adminform"].errors["key"])
    assert all(key in said for key in keys)
    assert add(admin, scope="session", key=keys[0]).status_code == 302


def test_who_is_granted_too_little_is_told(admin, window):
    BudgetWindow.objects.update(spent_pico=12 * DOLLAR)
    url = reverse("admin:costs_budgetwindow_changelist")
    said = []
    for _ in range(2):
        answer = admin.post(
            url, {"action": "grant_again", "_selected_action": [window.pk]}, follow=True
        )
        said += map(str, answer.context["messages"])
    assert "12 of 10 USD are spent. Nothing can be asked for yet" in said[0]
    assert "12 of 15 USD are spent. What was stopped can be asked for again" in said[1]


def test_how_a_budget_stands_is_seen_and_more_is_granted(admin, window):
    url = reverse("admin:costs_budgetwindow_changelist")
    assert "80 %" in admin.get(url).content.decode()
    for action in ("grant_again", "recount"):
        admin.post(url, {"action": action, "_selected_action": [window.pk]})
    window.refresh_from_db()
    assert (window.allowed_pico, window.spent_pico) == (10 * DOLLAR, 0)
    change = reverse("admin:costs_budgetwindow_change", args=[window.pk])
    admin.post(change, {"extra_pico": "1.25", "spent_pico": "0"})
    window.refresh_from_db()
    assert window.extra_pico == 125 * DOLLAR // 100


def test_periods_are_neither_added_nor_deleted_by_hand(admin, window):
    assert admin.get(reverse("admin:costs_budgetwindow_add")).status_code == 403
    delete = reverse("admin:costs_budgetwindow_delete", args=[window.pk])
    assert admin.post(delete, {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("way", ["page", "action"])
def test_a_budget_goes_with_its_periods(admin, window, way):
    budget = window.budget
    if way == "page":
        admin.post(reverse("admin:costs_budget_delete", args=[budget.pk]), {"post": "yes"})
    else:
        chosen = {"action": "delete_selected", "_selected_action": [budget.pk], "post": "yes"}
        admin.post(reverse("admin:costs_budget_changelist"), chosen)
    assert not Budget.objects.exists()
