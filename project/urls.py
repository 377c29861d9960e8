"""The URLs of the whole project."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from chat import dashboard

urlpatterns = [
    path("admin/streams/", admin.site.admin_view(dashboard.page), name="streams"),
    path("admin/", admin.site.urls),
    # Browsers ask for it wherever a page names none, as the admin's do.
    path("favicon.ico", RedirectView.as_view(url=static("chat/favicon.svg"))),
    path("", include("chat.urls")),
]
