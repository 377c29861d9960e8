"""Which pages may open a socket: those of this very host, and those that the operator names."""

from typing import Any

from django.conf import settings


class SameOriginOnly:
    """ASGI middleware that refuses a WebSocket from another origin.

    Channels' own validator compares the host alone and refuses programs, which send no Origin.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if is_allowed(dict(scope["headers"]), scheme=scope.get("scheme", "ws")):
            await self._application(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 4403})


def is_allowed(headers: dict[bytes, bytes], *, scheme: str) -> bool:
    """Say whether these headers come from a program, or from a page of ours."""
    origin = headers.get(b"origin", b"").decode("latin-1").rstrip("/")
    named = (*settings.CSRF_TRUSTED_ORIGINS, *settings.CORS_ALLOWED_ORIGINS)
    if not origin or settings.CORS_ALLOW_ALL_ORIGINS or origin in named:
        return True
    host = headers.get(b"host", b"").decode("latin-1")
    forwarded = headers.get(b"x-forwarded-proto", b"").decode("latin-1")
    is_secure = scheme in ("wss", "https") or forwarded == "https"
    return origin == f"{'https' if is_secure else 'http'}://{host}"
