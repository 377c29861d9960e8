"""The HTTP routes."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from chat import cost_api, metrics, views  # noqa: F401 - adds an endpoint
from chat.api import api
from chat.dialects import a2a, agentcore, mesh, ossa, switches, theo  # noqa: F401 - add endpoints
from chat.login import Login

urlpatterns = [
    *(path(p, views.same_as("/chat/stream")) for p in switches.elsewhere("sse")),
    path("", views.front, name="page"),
    path("s/<str:session_id>", views.page, name="session"),
    path("login/", Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("metrics", metrics.metrics, name="metrics"),
    path("", api.urls),
]
