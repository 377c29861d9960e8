"""The admin of budgets: what may be spent, how it stands, and more of it."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import F, QuerySet
from django.http import HttpRequest

from chat import budget_keys
from costs import budget_windows, money
from costs.admin_base import AnyModelAdmin
from costs.budget_models import Budget, BudgetWindow


class UsdField(forms.DecimalField):
    """An amount in dollars, kept as whole pico-dollars."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=Decimal(0), max_value=money.LARGEST_USD, **options)

    def prepare_value(self, value: Any) -> Any:
        return money.plain(value) if isinstance(value, int) else value

    def clean(self, value: Any) -> int:
        return money.pico(super().clean(value))


class BudgetForm(forms.ModelForm):  # type: ignore[type-arg]
    limit_pico = UsdField(label="Limit in USD")

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        # Whoever is gone meanwhile keeps his budget.
        if "scope" in said and {"scope", "key"} & set(self.changed_data):
            try:
                said["key"] = budget_keys.resolve(said["scope"], said.get("key", "").strip())
            except budget_keys.UnknownKey as error:
                self.add_error("key", str(error))
        return said


class BudgetWindowForm(forms.ModelForm):  # type: ignore[type-arg]
    extra_pico = UsdField(
        label="Granted beyond the limit in USD",
        help_text="Runs that were stopped can be asked for again at once.",
    )


@admin.register(Budget)
class BudgetAdmin(AnyModelAdmin):
    form = BudgetForm
    fields = (
        "scope",
        "key",
        "period",
        "limit_pico",
        "soft_percent",
        "allows_unpriced",
        "is_active",
    )
    list_display = ("__str__", "limit", "soft_percent", "allows_unpriced", "is_active")
    list_filter = ("scope", "period", "is_active")
    search_fields = ("key",)

    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        # What was spent while it was switched off, or while another one went before it, counts.
        budget_windows.recount_all(obj.scope, obj.period)

    def delete_model(self, request: HttpRequest, obj: Budget) -> None:
        super().delete_model(request, obj)
        budget_windows.recount_all(obj.scope, obj.period)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Budget]) -> None:
        for budget in queryset:
            self.delete_model(request, budget)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        # Its periods go with it, though nobody may delete one by itself.
        deleted, counts, _, protected = super().get_deleted_objects(objs, request)
        return deleted, counts, set(), protected

    @admin.display(description="limit in USD", ordering="limit_pico")
    def limit(self, budget: Budget) -> str:
        return money.plain(budget.limit_pico)


@admin.register(BudgetWindow)
class BudgetWindowAdmin(AnyModelAdmin):
    """How each period stands; an operator may grant more in it."""

    form = BudgetWindowForm
    fields = ("budget", "key", "starts_on", "spent", "held", "extra_pico")
    readonly_fields = ("budget", "key", "starts_on", "spent", "held")
    list_display = ("budget", "key", "starts_on", "spent", "held", "allowed", "used")
    list_filter = ("budget__scope", "budget__period")
    list_select_related = ("budget",)
    search_fields = ("=key",)
    ordering = ("-starts_on", "-spent_pico")
    actions = ("grant_again", "recount")
    show_full_result_count = False

    @admin.display(description="spent in USD", ordering="spent_pico")
    def spent(self, window: BudgetWindow) -> str:
        return money.plain(window.spent_pico)

    @admin.display(description="set aside in USD", ordering="held_pico")
    def held(self, window: BudgetWindow) -> str:
        return money.plain(window.held_pico)

    @admin.display(description="allowed in USD")
    def allowed(self, window: BudgetWindow) -> str:
        return money.plain(window.allowed_pico)

    @admin.display(description="used")
    def used(self, window: BudgetWindow) -> str:
        return f"{window.percent} %"

    @admin.action(description="Grant the limit once more", permissions=["change"])
    def grant_again(self, request: HttpRequest, windows: QuerySet[BudgetWindow]) -> None:
        for window in windows.select_related("budget"):
            more = F("extra_pico") + window.budget.limit_pico
            BudgetWindow.objects.filter(pk=window.pk).update(extra_pico=more)
            window.refresh_from_db()
            level = messages.SUCCESS if window.left_pico > 0 else messages.WARNING
            self.message_user(request, _standing(window), level)

    @admin.action(description="Count again from the ledger", permissions=["change"])
    def recount(self, request: HttpRequest, windows: QuerySet[BudgetWindow]) -> None:
        for window in windows:
            budget_windows.recount(window)
        self.message_user(request, "Counted.", messages.SUCCESS)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, window: Any, form: Any, change: bool) -> None:
        # Calls change the amounts meanwhile.
        window.save(update_fields=["extra_pico"])


def _standing(window: BudgetWindow) -> str:
    """How a period stands, and what follows from it for those who have been stopped."""
    spent, allowed = money.plain(window.spent_pico), money.plain(window.allowed_pico)
    stands = f"{window}: {spent} of {allowed} USD are spent."
    if window.left_pico <= 0:
        return f"{stands} Nothing can be asked for yet: grant more."
    return f"{stands} What was stopped can be asked for again, if it fits into the rest."
