"""Who asks: the one place that decides on whose behalf a request or a socket acts."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Principal:
    """The owner of sessions; two principals never see each other's."""

    owner_key: str


#: With AUTH=open all callers are one, also a developer who is logged in to the admin.
EVERYBODY = Principal("open")


def of_user(user: Any) -> Principal | None:
    """The principal of a Django user; None when nobody is logged in and that is required."""
    if settings.AUTH == "open":
        return EVERYBODY
    if user is None or isinstance(user, AnonymousUser) or not user.is_active:
        return None
    return Principal(f"user:{user.pk}")


def is_still(principal: Principal, *, session_key: str | None) -> bool:
    """Say whether a login that a connection was opened with still stands.

    It does not after a logout, a new password, or when the user was disabled.
    """
    if principal == EVERYBODY:
        return settings.AUTH == "open"
    request = HttpRequest()
    request.session = SessionStore(session_key)
    return of_user(get_user(request)) == principal
