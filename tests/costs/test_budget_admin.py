import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

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
