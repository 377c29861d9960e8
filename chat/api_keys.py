"""Keys with which programs act for a user. A key is shown once; only its digest is kept."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from chat.models import ApiKey
from chat.principals import Login, of_user

MARK = "cl_"
#: How exactly it is kept when a key was used last.
USED_WITHIN = timedelta(minutes=1)


def create(user: User, *, name: str) -> tuple[ApiKey, str]:
    """Make a key for a user; gives it and its text, which cannot be shown again."""
    text = MARK + secrets.token_urlsafe(32)
    made = ApiKey.objects.create(user=user, name=name, prefix=text[:8], digest=_digest(text))
    return made, text


def login(text: str) -> Login | None:
    """Find whom a key acts for; None when it is none of ours, revoked, or its user disabled."""
    found = ApiKey.objects.select_related("user").filter(digest=_digest(text), revoked_at=None)
    key = found.first()
    principal = of_user(key.user) if key else None
    if key is None or principal is None:
        return None
    now = timezone.now()
    if key.last_used_at is None or key.last_used_at < now - USED_WITHIN:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return Login(replace(principal, api_key=str(key.pk)), api_key_id=key.pk)


def revoke(key: ApiKey) -> None:
    """Let a key open nothing any more; streams that it has open end within 20 s."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())


def given_in(headers: Mapping[str, str]) -> str | None:
    """The key that a request carries: `X-API-Key`, or `Authorization: Bearer`."""
    if given := headers.get("x-api-key"):
        return given.strip()
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else None


def _digest(text: str) -> str:
    # The keys are random: a slow hash would protect them no better.
    return hashlib.sha256(text.encode()).hexdigest()
