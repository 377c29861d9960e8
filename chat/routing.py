"""The WebSocket routes."""

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from django.urls import path, re_path

from chat.consumers import SessionConsumer
from chat.dialects import switches
from chat.dialects.sockets import AgentCoreConsumer, DialectConsumer, TextConsumer
from chat.origins import SameOriginOnly


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
                *(path(p, DialectConsumer.as_asgi()) for p in switches.elsewhere("websocket")),
                re_path(r"", not_found),  # type: ignore[arg-type]  # typed for HTTP views
            ]
        )
    )
)
