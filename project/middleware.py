"""Django's middleware, without two changes of threads for each of them on each request.

Django calls synchronous middleware on a thread, for it might block. Of the following only two do,
and only when they have something to store.
"""

from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware

QUICK = (
    SecurityMiddleware,
    SessionMiddleware,
    CommonMiddleware,
    CsrfViewMiddleware,
    AuthenticationMiddleware,
    MessageMiddleware,
    XFrameOptionsMiddleware,
)


def call_quick_ones_at_once() -> None:
    """Call them where the request is served.

    Subclasses would do as well, but Django's checks look for these very classes.
    """
    for middleware in QUICK:
        middleware.__acall__ = _call_at_once  # type: ignore[method-assign]


async def _call_at_once(self: Any, request: HttpRequest) -> HttpResponseBase:
    response: HttpResponseBase | None = None
    if hasattr(self, "process_request"):
        response = self.process_request(request)
    response = response or await self.get_response(request)
    if not hasattr(self, "process_response"):
        return response
    respond: Callable[[HttpRequest, HttpResponseBase], HttpResponseBase] = self.process_response
    if _stores(self, request):
        return await sync_to_async(respond)(request, response)
    return respond(request, response)


def _stores(middleware: Any, request: Any) -> bool:
    """Whether what it does with the response would block."""
    if isinstance(middleware, SessionMiddleware):
        return bool(request.session.modified)
    if isinstance(middleware, MessageMiddleware):
        return bool(request._messages.used or request._messages.added_new)
    return False
