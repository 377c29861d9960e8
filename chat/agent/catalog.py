"""Which models can be used now, and what a model's name means: "<provider>:<model>"."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.conf import settings
from django.utils import timezone

from chat.agent.errors import AgentError
from chat.agent.providers import PROVIDERS
from chat.agent.providers.contract import Provider
from costs import money, pricing, tariffs
from costs.pricing import Price
from costs.tariffs import Tariff


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A model that can be used now. Prices are USD per million tokens; None is unknown."""

    model: str
    provider: str
    name: str
    has_tools: bool
    input_price: str | None
    output_price: str | None


def offers() -> list[Offer]:
    """The models that can be used now, the default first. Reads the database."""
    default = default_model()
    found = [_offer(p, name) for p in PROVIDERS.values() if p.is_available() for name in p.models()]
    return sorted(found, key=lambda offer: offer.model != default)


def default_model() -> str:
    """The model for sessions that chose none: of LLM_PROVIDER, else local, else scripted."""
    wanted = settings.ENV.llm_provider
    order = [wanted] if wanted in PROVIDERS else []
    for name in (*order, "local", "scripted"):
        if PROVIDERS[name].is_available():
            return f"{name}:{PROVIDERS[name].models()[0]}"
    raise AgentError("unknown_model")


def resolve(model: str) -> tuple[Provider, str]:
    """Find the provider of a model's name. Raises AgentError when it cannot be used."""
    provider_name, _, name = model.partition(":")
    provider = PROVIDERS.get(provider_name)
    if provider is None or not name or not provider.is_available():
        raise AgentError("unknown_model")
    if not provider.takes_any_model and name not in provider.models():
        raise AgentError("unknown_model")
    return provider, name


def choose(*wanted: str | None) -> str:
    """Take the first model that is named, else the default. Raises AgentError if it is not here."""
    model = next((name for name in wanted if name), None) or default_model()
    resolve(model)
    return model


def fallbacks(model: str) -> list[str]:
    """The models to ask when `model` cannot answer, as far as they can be used now."""
    others = [name for name in settings.ENV.llm_fallback_models if name != model]
    return [name for name in others if _can_use(name)]


def _can_use(model: str) -> bool:
    try:
        resolve(model)
    except AgentError:
        return False
    return True


def price_of(model: str, *, at: datetime) -> Price | None:
    """The price of a model at a time, or None when it is not known."""
    provider, name = resolve(model)
    return provider.price(name, at)


def tariff(provider_name: str) -> Tariff:
    """The prices of a provider, also of one that cannot be used here. Reads the database."""
    known = PROVIDERS.get(provider_name)

    def listed(model: str, at: datetime) -> Price | None:
        return pricing.list_price(provider=provider_name, model=model, at=at)

    return Tariff(
        provider=provider_name,
        listed=known.price if known else listed,
        overrides=tariffs.overrides_of(provider_name),
    )


def prices(models: Sequence[str]) -> dict[str, Callable[[datetime], Price | None]]:
    """The prices over time of some models, also of such as cannot be used. Reads the database."""
    tariffs_of = {name: tariff(name) for name in {model.partition(":")[0] for model in models}}
    return {model: partial(_price_at, tariffs_of, model) for model in models}


def _price_at(tariffs_of: dict[str, Tariff], model: str, at: datetime) -> Price | None:
    provider_name, _, name = model.partition(":")
    return tariffs_of[provider_name].price(name, at=at)


def _offer(provider: Provider, name: str) -> Offer:
    price = tariff(provider.name).price(name, at=timezone.now())
    return Offer(
        model=f"{provider.name}:{name}",
        provider=provider.name,
        name=name,
        has_tools=provider.has_tools,
        input_price=_rate(price, "input"),
        output_price=_rate(price, "output"),
    )


def _rate(price: Price | None, token_class: str) -> str | None:
    if price is None:
        return None
    return money.plain_or_none(price.rate_pico(token_class, prompt_tokens=0))
