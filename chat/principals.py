"""Who asks: the one place that decides on whose behalf a request or a socket acts."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest

from chat.models import ApiKey

_OWNER_KEY = re.compile(r"user:[0-9]{1,17}")


@dataclass(frozen=True, slots=True)
class Principal:
    """The owner of sessions; two principals never see each other's."""

    owner_key: str
    #: The number of the API key that he shows, or "": budgets ask for it, and nothing else.
    api_key: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Login:
    """How a caller showed who he is; a connection is open as long as it stands."""

    principal: Principal
    session_key: str | None = None
    api_key_id: int | None = None


#: With AUTH=open all callers are one, also a developer who is logged in to the admin.
EVERYBODY = Principal("open")


def of_user(user: Any) -> Principal | None:
    """The principal of a Django user; None when nobody is logged in and that is required."""
    if settings.AUTH == "open":
        return EVERYBODY
    if user is None or isinstance(user, AnonymousUser) or not user.is_active:
        return None
    return Principal(f"user:{user.pk}")


def is_still(login: Login) -> bool:
    """Say whether a login that a connection was opened with still stands.

    It does not after a logout, a new password, or when the key was revoked or the user disabled.
    """
    if login.principal == EVERYBODY:
        return settings.AUTH == "open"
    return of_user(user_of(login)) == login.principal


def user_of(login: Login) -> Any:
    """The Django user who logged in, as he is now; None or an anonymous one when there is none."""
    if login.api_key_id is not None:
        keys = ApiKey.objects.select_related("user")
        key = keys.filter(pk=login.api_key_id, revoked_at=None).first()
        return key and key.user
    request = HttpRequest()
    request.session = SessionStore(login.session_key)
    return get_user(request)


def sees_all_costs(login: Login) -> bool:
    """Say whether a caller may see what everybody has spent."""
    user = user_of(login)
    return user is not None and user.is_staff and user.has_perm("costs.view_cost_report")


def names_of(owner_keys: Iterable[str]) -> dict[str, str]:
    """The names of users by their owner keys; deleted ones have none."""
    known = [key for key in owner_keys if _OWNER_KEY.fullmatch(key)]
    found = User.objects.in_bulk([int(key.removeprefix("user:")) for key in known])
    return {f"user:{pk}": user.get_username() for pk, user in found.items()}


def owner_key_of(name: str) -> str | None:
    """The owner key of a user by his name or by that key itself; None when nobody has the name.

    The ledger outlives its users: the key of one who is gone is a key still.
    """
    if name == EVERYBODY.owner_key or _OWNER_KEY.fullmatch(name):
        return name
    # PostgreSQL knows no NUL.
    user = User.objects.filter(username=name.replace("\0", "")).first()
    return f"user:{user.pk}" if user else None
