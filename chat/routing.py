"""The WebSocket routes."""

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from django.urls import path, re_path

from chat.consumers import SessionConsumer
from chat.dialects import switches
from chat.dialects.sockets import AgentCoreConsumer, DialectConsumer, TextConsumer
from chat.origins import SameOriginOnly

#: Where the agent's manifest wants its socket.
ELSEWHERE = [place for place in (switches.endpoint("websocket"),) if place]


async def not_found(scope: Any, receive: Any, send: Any) -> None:
    """Refuse a socket at a path that does not exist, without a traceback."""
    await send({"type": "websocket.close", "code": 4404})


websocket_application = SameOriginOnly(
    AuthMiddlewareStack(
        URLRouter(
            [
                path("ws/sessions/<str:session_id>", SessionConsumer.as_asgi()),
                path("ws", DialectConsumer.as_asgi()),
                path("chat/ws", DialectConsumer.as_asgi()),
                path("stream", AgentCoreConsumer.as_asgi()),
                path("ws/chunks", TextConsumer.as_asgi()),
                *(path(place.lstrip("/"), DialectConsumer.as_asgi()) for place in ELSEWHERE),
                re_path(r"", not_found),  # type: ignore[arg-type]  # typed for HTTP views
            ]
        )
    )
)
