"""The admin of conversations. History is shown and searched, never changed."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from chat import answers, budget_admin, cost_page, login, parts  # noqa: F401 - registers pages
from chat.models import ApiKey, Artifact, ChatSession, EventRecord, MeshDelivery, Message, Run
from costs import charges, ledger
from costs.admin_base import ReadOnlyAdmin, table_of

admin.site.site_header = "Chatledger"
admin.site.site_title = "Chatledger"
admin.site.login_form = login.AdminLoginForm
admin.site.index_title = "Conversations and costs"
# Lists of calls and entries are wide.
admin.site.enable_nav_sidebar = False
EXCERPT_CHARACTERS = 120


def _link(view: str, text: str, **query: str) -> SafeString:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return format_html('<a href="{}?{}">{}</a>', reverse(view), asked, text)


def _excerpt(message: Message) -> str:
    text = parts.text_of(parts.load(message.parts))
    return text if len(text) <= EXCERPT_CHARACTERS else text[:EXCERPT_CHARACTERS] + "…"


@admin.register(ChatSession)
class ChatSessionAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "cost", "model", "owner_key", "updated_at", "session_id")
    list_filter = ("model",)
    search_fields = ("=session_id", "=owner_key", "title")
    ordering = ("-updated_at", "-id")
    readonly_fields = ("runs", "messages", "events", "cost", "charges")

    @admin.display(description="cost in USD")
    def cost(self, session: ChatSession) -> str:
        return ledger.total_of_session(session.ledger_key).amount or "–"

    def charges(self, session: ChatSession) -> SafeString:
        return table_of(charges.of_session(session.ledger_key))

    def runs(self, session: ChatSession) -> SafeString:
        return _link("admin:chat_run_changelist", "Runs", session__id__exact=str(session.pk))

    def messages(self, session: ChatSession) -> SafeString:
        return _link(
            "admin:chat_message_changelist", "Messages", session__id__exact=str(session.pk)
        )

    def events(self, session: ChatSession) -> SafeString:
        return _link(
            "admin:chat_eventrecord_changelist", "Events", session__id__exact=str(session.pk)
        )


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "session", "status", "model", "cost", "attempt", "ended_at")
    list_filter = ("status", "model", "error_code")
    list_select_related = ("session",)
    search_fields = ("=id", "=session__session_id")
    ordering = ("-created_at",)
    readonly_fields = ("stream", "cost", "usage", "charges", "calls", "entries", "events")

    @admin.display(description="cost in USD")
    def cost(self, run: Run) -> str:
        total = ledger.total_of_run(run.pk)
        return f"{'≈ ' if total.is_estimated else ''}{total.amount or '–'}"

    def stream(self, run: Run) -> SafeString:
        told = answers.stream(run).model_dump()
        lines = (("–" if value is None else value, name) for name, value in told.items())
        return format_html_join(", ", "{1}: {0}", lines)

    def usage(self, run: Run) -> str:
        total = ledger.total_of_run(run.pk)
        return f"{total.prompt_tokens} prompt, {total.completion_tokens} completion tokens"

    def calls(self, run: Run) -> SafeString:
        return _link("admin:costs_modelcall_changelist", "Model calls", q=str(run.pk))

    def charges(self, run: Run) -> SafeString:
        return table_of(charges.of_run(run.pk))

    def entries(self, run: Run) -> SafeString:
        return _link("admin:costs_ledgerentry_changelist", "Ledger entries", q=str(run.pk))

    def events(self, run: Run) -> SafeString:
        return _link("admin:chat_eventrecord_changelist", "Events", q=str(run.pk))


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    list_display = ("id", "session", "role", "excerpt", "stop_reason", "created_at")
    list_filter = ("role", "stop_reason")
    list_select_related = ("session",)
    search_fields = ("=id", "=session__session_id", "parts")
    ordering = ("-created_at",)
    fields = ("session", "run", "role", "text", "all_parts", "stop_reason", "seq", "created_at")
    readonly_fields = ("text", "all_parts")

    @admin.display(description="text")
    def excerpt(self, message: Message) -> str:
        return _excerpt(message)

    def text(self, message: Message) -> str:
        return parts.text_of(parts.load(message.parts))

    @admin.display(description="parts")
    def all_parts(self, message: Message) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(message.parts, indent=2, ensure_ascii=False))


@admin.register(Artifact)
class ArtifactAdmin(ReadOnlyAdmin):
    list_display = ("name", "content_type", "session", "run", "created_at")
    list_select_related = ("session", "run")
    search_fields = ("=run__id", "=session__session_id")
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("content")


@admin.register(EventRecord)
class EventRecordAdmin(ReadOnlyAdmin):
    list_display = ("session", "seq", "type", "run_id", "attempt", "at")
    list_filter = ("type",)
    list_select_related = ("session",)
    search_fields = ("=run_id", "=session__session_id")
    ordering = ("-id",)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "prefix", "user", "created_at", "last_used_at", "revoked_at")
    search_fields = ("name", "prefix", "user__username")
    exclude = ("digest",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("user")


@admin.register(MeshDelivery)
class MeshDeliveryAdmin(ReadOnlyAdmin):
    list_display = ("agent_id", "target_agent", "run_id", "received_at")
    search_fields = ("=agent_id", "=target_agent")
    ordering = ("-id",)
