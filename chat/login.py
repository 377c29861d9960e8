"""Logging in by name and password, to the page and to the admin; guessing is slowed down."""

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.http import HttpResponse

from chat import rate_limit
from chat.views import CONTENT_SECURITY_POLICY

#: So often in a minute may one address try one name, and any names.
TRIES_FOR_A_NAME, TRIES_FROM_AN_ADDRESS = 10, 60


class _Slowed(AuthenticationForm):
    """Refuses who tries too often, before any password is looked at."""

    def clean(self) -> dict[str, Any]:
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        name = self.cleaned_data.get("username", "")
        try:
            rate_limit.take_now(f"login:{address}", per_minute=TRIES_FROM_AN_ADDRESS)
            rate_limit.take_now(f"login:{address}:{name}", per_minute=TRIES_FOR_A_NAME)
        except rate_limit.TooOften as error:
            raise ValidationError(
                f"Too many tries. Wait {error.retry_after_s} s.", code="too_often"
            ) from error
        return super().clean()


class LoginForm(_Slowed):
    """For everybody who is active."""


class AdminLoginForm(_Slowed, AdminAuthenticationForm):
    """For staff."""


class Login(LoginView):
    """The page to log in, for people who chat."""

    template_name = "chat/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def render_to_response(self, context: Any, **more: Any) -> HttpResponse:
        response = super().render_to_response(context, **more)
        response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response
