"""The HTTP routes."""

from django.http import HttpRequest, HttpResponseBase
from django.urls import path, resolve
from django.views.decorators.csrf import csrf_exempt

from chat import views
from chat.api import api
from chat.dialects import a2a, agentcore, mesh, ossa, switches, theo  # noqa: F401 - add endpoints


async def stream_elsewhere(request: HttpRequest) -> HttpResponseBase:
    """What is at /chat/stream, where the agent's manifest wants it."""
    answer: HttpResponseBase = await resolve("/chat/stream").func(request)
    return answer


ELSEWHERE = [place for place in (switches.endpoint("sse"),) if place and place != "/chat/stream"]

urlpatterns = [
    *(path(place.lstrip("/"), csrf_exempt(stream_elsewhere)) for place in ELSEWHERE),
    path("", views.front, name="page"),
    path("s/<str:session_id>", views.page, name="session"),
    path("", api.urls),
]
