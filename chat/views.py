"""The page."""

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


@require_safe
@ensure_csrf_cookie
def page(request: HttpRequest, session_id: str = "") -> HttpResponse:
    """The chat page; which session it shows is the page's own matter."""
    if settings.AUTH == "required" and not request.user.is_authenticated:
        return login_required(page)(request)  # redirects to the login
    context: dict[str, Any] = {
        "auth_mode": settings.AUTH,
        "username": request.user.get_username() if request.user.is_authenticated else "",
    }
    response = render(request, "chat/index.html", context)
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response
