"""The page, and what else is at the root."""

from collections.abc import Callable, Coroutine
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.urls import resolve
from django.views.decorators.csrf import csrf_exempt, ensure_csrf_cookie
from django.views.decorators.http import require_safe

from chat import about
from chat.dialects import switches

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


def same_as(path: str) -> Callable[..., Coroutine[Any, Any, HttpResponseBase]]:
    """Make a view that answers as the API does at another path."""

    # The API asks for the CSRF token itself, where one is needed.
    @csrf_exempt
    async def forward(request: HttpRequest) -> HttpResponseBase:
        answer: HttpResponseBase = await resolve(path).func(request)
        return answer

    return forward


_a2a = same_as("/a2a")


@csrf_exempt
async def front(request: HttpRequest) -> HttpResponseBase:
    """The page, directions for programs that want JSON, and A2A for agents."""
    if request.method == "POST":
        return await _a2a(request)
    accepted = request.headers.get("Accept", "")
    wants_json = "application/json" in accepted and "text/html" not in accepted
    if wants_json and request.method in ("GET", "HEAD"):
        return JsonResponse(_directions())
    return await sync_to_async(page)(request)


@require_safe
@ensure_csrf_cookie
def page(request: HttpRequest, session_id: str = "") -> HttpResponse:
    """The chat page; which session it shows is the page's own matter."""
    if settings.AUTH == "required" and not request.user.is_authenticated:
        return login_required(page)(request)  # redirects to the login
    context: dict[str, Any] = {
        "auth_mode": settings.AUTH,
        "username": request.user.get_username() if request.user.is_authenticated else "",
        "agent": about.agent() if settings.ENV.manifest else None,
        "lacks": {name: about.lacks_tool(name) for name in ("calculator", "clock")},
        "sees_admin": settings.AUTH == "open" or request.user.is_staff,
    }
    response = render(request, "chat/index.html", context)
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


def _directions() -> dict[str, Any]:
    agent = about.agent()
    ways: dict[str, tuple[switches.Method, str]] = {
        "stream_sse": ("sse", "/chat/stream"),
        "stream_ws": ("websocket", "/chat/ws"),
        "stream_a2a": ("a2a", "/agents/{agent_id}/stream"),
    }
    return {
        "message": f"Welcome to {agent.name} API",
        "version": agent.version,
        "docs": "/docs",
        "openapi": "/openapi.json",
        "health": "/health",
        "endpoints": {
            "chat": "/chat",
            **{name: path for name, (way, path) in ways.items() if switches.is_on(way)},
            "cost_summary": "/cost-summary",
        },
    }
