"""Anthropic, and what speaks its Messages API at ANTHROPIC_BASE_URL."""

from typing import TYPE_CHECKING

from django.conf import settings

from chat.agent.providers.contract import Provider
from costs import pricing

if TYPE_CHECKING:
    from chat.agent.metered import Metered


def _build(model: str) -> "Metered":
    # Only workers need the client, and loading it takes longer than all the rest.
    from chat.agent.providers import anthropic_client

    return anthropic_client.build(model)


PROVIDER = Provider(
    name="anthropic",
    models=lambda: [settings.ENV.anthropic_model],
    is_available=lambda: bool(settings.ENV.anthropic_api_key.get_secret_value()),
    needs="ANTHROPIC_API_KEY environment variable is required",
    build=_build,
    price=lambda model, at: pricing.list_price(provider="anthropic", model=model, at=at),
    window_tokens=64_000,
    takes_any_model=True,
)
