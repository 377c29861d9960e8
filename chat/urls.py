"""The HTTP routes."""

from django.urls import path

from chat import views
from chat.api import api
from chat.dialects import a2a, agentcore, mesh, ossa, theo  # noqa: F401 - add endpoints

urlpatterns = [
    path("", views.front, name="page"),
    path("s/<str:session_id>", views.page, name="session"),
    path("", api.urls),
]
