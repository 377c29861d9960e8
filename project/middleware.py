"""Django's middleware, without two changes of threads for each of them on each request.

Django calls synchronous middleware on a thread, for it might block. Of the following only two do,
and only when they have something to store.
"""

from collections.abc import Callable

from asgiref.sync import sync_to_async
from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest, HttpResponseBase
from django.middleware import clickjacking, common, csrf, security
from django.utils.deprecation import MiddlewareMixin


class AtOnce(MiddlewareMixin):
    """Middleware that is called where the request is served."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase | None = None
        if hasattr(self, "process_request"):
            response = self.process_request(request)
        response = response or await self.get_response(request)  # type: ignore[misc]
        if not hasattr(self, "process_response"):
            return response
        respond: Callable[[HttpRequest, HttpResponseBase], HttpResponseBase] = self.process_response
        if self.stores(request):
            return await sync_to_async(respond)(request, response)
        return respond(request, response)

    def stores(self, request: HttpRequest) -> bool:
        """Whether what is done with the response would block."""
        return False


class SecurityMiddleware(AtOnce, security.SecurityMiddleware): ...


class SessionMiddleware(AtOnce, sessions.SessionMiddleware):
    def stores(self, request: HttpRequest) -> bool:
        return request.session.modified


class CommonMiddleware(AtOnce, common.CommonMiddleware): ...


class CsrfViewMiddleware(AtOnce, csrf.CsrfViewMiddleware): ...


class AuthenticationMiddleware(AtOnce, auth.AuthenticationMiddleware): ...


class MessageMiddleware(AtOnce, messages.MessageMiddleware):
    def stores(self, request: HttpRequest) -> bool:
        stored = request._messages  # type: ignore[attr-defined]
        return bool(stored.used or stored.added_new)


class XFrameOptionsMiddleware(AtOnce, clickjacking.XFrameOptionsMiddleware): ...
