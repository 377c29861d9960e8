"""What the admin's lists of large tables do instead of reading all their rows."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from costs.models import DailyCost, PriceSnapshot
from costs.usage import CLASSES

MOST_ROWS = 10_000

if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
else:
    # Generic for the type checker alone.
    AnyPaginator = Paginator


class FirstRows(AnyPaginator):
    """Shows this many rows at most: to count all of a large table takes seconds."""

    @cached_property
    def count(self) -> int:
        found: Any = self.object_list
        return int(found.order_by()[:MOST_ROWS].count())


class _KnownValues(admin.SimpleListFilter):
    """Offers values that are known without asking the large table for them."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return queryset.filter(**{str(self.parameter_name): chosen}) if chosen else queryset


class TokenClassFilter(_KnownValues):
    title = parameter_name = "token_class"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in CLASSES]


class ProviderFilter(_KnownValues):
    title = parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        known = {
            name
            for table in (DailyCost, PriceSnapshot)
            for name in table.objects.values_list("provider", flat=True).distinct()
        }
        return [(name, name) for name in sorted(known)]
