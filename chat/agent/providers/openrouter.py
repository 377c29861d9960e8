"""OpenRouter: the models of many providers, over OpenAI's format and with one key."""

from typing import TYPE_CHECKING

from django.conf import settings

from chat.agent.providers.contract import Provider
from costs import pricing

if TYPE_CHECKING:
    from chat.agent.metered import Metered


def _build(model: str) -> "Metered":
    # Only workers need the client, and loading it takes longer than all the rest.
    from chat.agent.providers.openai_client import build_at

    return build_at(
        model,
        provider="openrouter",
        base_url=settings.ENV.openrouter_base_url,
        api_key=settings.ENV.openrouter_api_key.get_secret_value(),
        use_responses_api=False,
        # So that it says what it charges.
        extra_body={"usage": {"include": True}},
    )


PROVIDER = Provider(
    name="openrouter",
    models=lambda: [settings.ENV.openrouter_model],
    is_available=lambda: bool(settings.ENV.openrouter_api_key.get_secret_value()),
    needs="OPENROUTER_API_KEY environment variable is required",
    build=_build,
    price=lambda model, at: pricing.list_price(provider="openrouter", model=model, at=at),
    window_tokens=64_000,
    takes_any_model=True,
)
