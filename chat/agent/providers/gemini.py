"""Google's Gemini, and what speaks its API at GEMINI_BASE_URL."""

from typing import TYPE_CHECKING

from django.conf import settings

from chat.agent.providers.contract import Provider
from costs import pricing

if TYPE_CHECKING:
    from chat.agent.metered import Metered


def _build(model: str) -> "Metered":
    # Only workers need the client, and loading it takes longer than all the rest.
    from chat.agent.providers import gemini_client

    return gemini_client.build(model)


PROVIDER = Provider(
    name="gemini",
    models=lambda: [settings.ENV.gemini_model],
    is_available=lambda: bool(settings.ENV.gemini_api_key.get_secret_value()),
    needs="GEMINI_API_KEY or GOOGLE_API_KEY environment variable is required",
    build=_build,
    price=lambda model, at: pricing.list_price(provider="google", model=model, at=at),
    window_tokens=64_000,
    takes_any_model=True,
)
