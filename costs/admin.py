"""The admin of costs: everything can be looked up, and nothing of the ledger can be changed."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from costs import charges, money, repricing
from costs.admin_base import AnyModelAdmin, ReadOnlyAdmin, table_of
from costs.changelists import ProviderFilter, TokenClassFilter
from costs.models import ExchangeRate, LedgerEntry, ModelCall, PriceOverride, PriceSnapshot


class PricedFilter(admin.SimpleListFilter):
    """Calls that are in no sum, because some of what they used has no price."""

    title = "price"
    parameter_name = "price"

    def lookups(self, request: HttpRequest, model_admin: AnyModelAdmin) -> list[tuple[str, str]]:
        return [("unpriced", "unpriced")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "unpriced":
            return queryset.filter(pk__in=repricing.unpriced_calls().values("pk"))
        return queryset


@admin.register(ModelCall)
class ModelCallAdmin(ReadOnlyAdmin):
    list_display = (
        "started_at",
        "provider",
        "requested_model",
        "status",
        "usage_source",
        "prompt_tokens",
        "completion_tokens",
        "cost",
    )
    list_filter = (PricedFilter, "status", "usage_source", ProviderFilter)
    search_fields = ("=id", "=run_id", "=session_key", "=owner_key", "=provider_request_id")
    ordering = ("-started_at",)
    sortable_by = ("started_at",)
    readonly_fields = ("cost", "charges", "entries")

    @admin.display(description="cost in USD")
    def cost(self, call: ModelCall) -> str:
        amounts = [charge.amount_pico for charge in charges.of_call(call.pk)]
        known = [amount for amount in amounts if amount is not None]
        if len(known) < len(amounts):
            return f"{money.plain(sum(known))} and unpriced" if known else "unpriced"
        return money.plain(sum(known)) if known else "–"

    def charges(self, call: ModelCall) -> SafeString:
        return table_of(charges.of_call(call.pk))

    def entries(self, call: ModelCall) -> SafeString:
        return format_html('<a href="../../../ledgerentry/?q={}">Ledger entries</a>', call.pk)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "kind",
        "token_class",
        "quantity",
        "rate",
        "amount",
        "owner_key",
        "is_estimate",
        "call_started_at",
    )
    list_filter = ("kind", TokenClassFilter, "is_estimate")
    search_fields = ("=run_id", "=call__id", "=session_key", "=owner_key")
    ordering = ("-id",)
    sortable_by = ("id", "call_started_at")
    readonly_fields = ("rate", "amount")

    @admin.display(description="USD per 1M")
    def rate(self, entry: LedgerEntry) -> str:
        return money.plain_or_none(entry.rate_pico_per_m) or "unknown"

    @admin.display(description="amount in USD", ordering="amount_pico")
    def amount(self, entry: LedgerEntry) -> str:
        return money.plain_or_none(entry.amount_pico) or "unknown"


@admin.register(PriceSnapshot)
class PriceSnapshotAdmin(ReadOnlyAdmin):
    list_display = ("provider", "model", "service_tier", "source", "currency", "recorded_at")
    list_filter = ("provider", "source")
    search_fields = ("model", "=digest")
    ordering = ("-id",)


class AddedAdmin(ReadOnlyAdmin):
    """Rows that people add; a later one supersedes an earlier one."""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("created_by", "recorded_at") if obj else ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super(ReadOnlyAdmin, self).has_add_permission(request)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.created_by = request.user.get_username()
        super().save_model(request, obj, form, change)


@admin.register(ExchangeRate)
class ExchangeRateAdmin(AddedAdmin):
    """What reports in other currencies than USD are converted by."""

    list_display = ("day", "currency", "per_usd", "created_by", "recorded_at")
    list_filter = ("currency",)
    ordering = ("-day", "-id")


@admin.register(PriceOverride)
class PriceOverrideAdmin(AddedAdmin):
    """Prices of our own."""

    list_display = (
        "provider",
        "model_pattern",
        "service_tier",
        "valid_from",
        "rates",
        "created_by",
    )
    list_filter = ("provider",)
    search_fields = ("model_pattern", "note")
    ordering = ("-valid_from", "-id")
