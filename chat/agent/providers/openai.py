"""OpenAI, and everything that speaks one of its formats at OPENAI_BASE_URL."""

from typing import TYPE_CHECKING

from django.conf import settings

from chat.agent.providers.contract import Provider
from costs import pricing

if TYPE_CHECKING:
    from chat.agent.metered import Metered

KEY_OF_KEYLESS_SERVERS = "none"


def _build(model: str) -> "Metered":
    # Only workers need the client, and loading it takes longer than all the rest.
    from chat.agent.providers import openai_client

    return openai_client.build_at(
        model,
        provider="openai",
        base_url=settings.ENV.openai_base_url or None,
        api_key=settings.ENV.openai_api_key.get_secret_value() or KEY_OF_KEYLESS_SERVERS,
    )


def _is_available() -> bool:
    return bool(settings.ENV.openai_api_key.get_secret_value() or settings.ENV.openai_base_url)


PROVIDER = Provider(
    name="openai",
    models=lambda: [settings.ENV.openai_model],
    is_available=_is_available,
    needs="OPENAI_API_KEY environment variable is required",
    build=_build,
    price=lambda model, at: pricing.list_price(provider="openai", model=model, at=at),
    window_tokens=64_000,
    takes_any_model=True,
)
