"""The HTTP routes."""

from django.urls import path

from chat import views
from chat.api import api
from chat.dialects import agentcore, ossa, theo  # noqa: F401 - add their endpoints to the API

urlpatterns = [
    path("", views.page, name="page"),
    path("s/<str:session_id>", views.page, name="session"),
    path("", api.urls),
]
