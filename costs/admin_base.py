"""What all pages of the costs' admin share."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from costs.changelists import FirstRows
from costs.charges import Charge

SEARCH_CHARACTERS = 200

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
else:
    # Generic for the type checker alone.
    AnyModelAdmin = admin.ModelAdmin


class ReadOnlyAdmin(AnyModelAdmin):
    """Lists and shows rows; has no way to add, change or delete one."""

    paginator = FirstRows
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        # SQLite refuses long patterns with an error, PostgreSQL a NUL.
        searched = search_term.replace("\0", "")[:SEARCH_CHARACTERS]
        return super().get_search_results(request, queryset, searched)


def table_of(charges: Iterable[Charge]) -> SafeString:
    """What was charged, a row for each class."""
    rows = format_html_join(
        "",
        "<tr><th scope=row>{}</th><td>{}</td><td>{}</td></tr>",
        ((c.token_class, f"{c.quantity:,}", c.amount or "no price") for c in charges),
    )
    head = "<thead><tr><th>class</th><th>quantity</th><th>USD</th></tr></thead>"
    return (
        format_html(f"<table>{head}<tbody>{{}}</tbody></table>", rows) if rows else SafeString("–")
    )
