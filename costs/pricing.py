"""What a model call costs: list prices from genai-prices, prices of our own, and unknown.

A price that is not known is None, never zero. The list is the one inside the installed package:
it never changes under a running process.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from costs import money, rates
from costs.models import PriceSnapshot
from costs.rates import Steps
from costs.usage import PROMPT_CLASSES

Rates = Mapping[str, Steps]

#: The price keys of genai-prices for each class: a class that has no price of its own is part of
#: the next one. Audio is none: most models have another price for it, whether it is listed or not.
_PRICE_KEYS = {
    "input": ("input_mtok",),
    "input_audio": ("input_audio_mtok",),
    "cache_read": ("cache_read_mtok", "input_mtok"),
    "cache_read_audio": ("cache_audio_read_mtok",),
    "cache_write_5m": ("cache_write_5m_mtok", "cache_write_mtok", "input_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok",),
    "output": ("output_mtok",),
    "reasoning": ("output_reasoning_mtok", "output_mtok"),
    "output_audio": ("output_audio_mtok",),
    "web_search": ("web_searches_kcount",),
}
#: Google lists audio only where it costs more (https://ai.google.dev/gemini-api/docs/pricing).
_ONE_PRICE = "google"
_TEXT_OF_AUDIO = {
    "input_audio": "input",
    "cache_read_audio": "cache_read",
    "output_audio": "output",
}
SERVICE_TIERS = ("priority", "flex", "batch", "fast")
_STANDARD_TIERS = ("", "auto", "default", "standard", "on_demand")
#: The date or the number behind a model's name: gpt-4o-mini-2024-07-18, gemini-2.5-flash-001.
_VERSION = re.compile(r"-(\d{4}-\d\d-\d\d|\d{8}|\d{3})$")
#: The source of a price that only divides among the classes what the provider says it charges.
STATED = "stated by the provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The rates of one model at one time, in pico-dollars per million of each class.

    The step that a call's whole prompt reaches prices the whole call. `variants` are the rates of
    the service tiers that are listed.
    """

    source: str
    provider: str
    model: str
    currency: str
    rates: Rates
    service_tier: str = ""
    variants: Mapping[str, Rates] = field(default_factory=dict, compare=False)

    @classmethod
    def from_snapshot(cls, snapshot: PriceSnapshot) -> "Price":
        """Read back a price that was kept with the ledger."""
        rates = {
            name: tuple((start, rate) for start, rate in steps)
            for name, steps in snapshot.rates.items()
        }
        return cls(
            source=snapshot.source,
            provider=snapshot.provider,
            model=snapshot.model,
            currency=snapshot.currency,
            rates=rates,
            service_tier=snapshot.service_tier,
        )

    def at_tier(self, tier: str) -> "Price":
        """The price of a service tier; the standard one when that tier has none of its own."""
        if tier not in self.variants:
            return self
        return replace(self, rates=self.variants[tier], service_tier=tier)

    def rate_pico(self, token_class: str, *, prompt_tokens: int) -> int | None:
        """The rate of a class for a call with this prompt, or None when it has no price."""
        reached = [rate for start, rate in self.rates.get(token_class, ()) if prompt_tokens > start]
        return reached[-1] if reached else None

    def as_json(self) -> dict[str, Any]:
        """The canonical form that is kept with the ledger."""
        told = {
            "source": self.source,
            "provider": self.provider,
            "model": self.model,
            "currency": self.currency,
            "rates": {name: [list(step) for step in steps] for name, steps in self.rates.items()},
        }
        return told | ({"service_tier": self.service_tier} if self.service_tier else {})

    @property
    def digest(self) -> str:
        canonical = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def tier_of(named: str) -> str:
    """What a provider calls its service tier, in our words; "" is the standard one."""
    tier = named.lower().removeprefix("on_demand_")
    return "" if tier in _STANDARD_TIERS else tier


def prompt_tokens(by_class: Mapping[str, int]) -> int:
    """The size of a prompt, which decides what step of a price it reaches."""
    return sum(by_class.get(name, 0) for name in PROMPT_CLASSES)


def stated_pico(raw_usage: Mapping[str, Any]) -> int | None:
    """What a provider says in its usage object that it charges, or None.

    OpenRouter's `cost` is in USD: https://openrouter.ai/docs/use-cases/usage-accounting
    """
    cost = raw_usage.get("cost")
    if isinstance(cost, bool) or not isinstance(cost, int | float):
        return None
    try:
        # The shortest text of a float is what the provider wrote.
        return money.pico(Decimal(repr(cost)))
    except ValueError:
        return None


def stated(price: Price | None, *, provider: str, model: str) -> Price:
    """The price of a call whose amount the provider states; `price` divides it among classes."""
    if price is None:
        return Price(source=STATED, provider=provider, model=model, currency="USD", rates={})
    return replace(price, source=STATED)


def flat_price(*, source: str, provider: str, model: str, input: str, output: str) -> Price:
    """Make a price of our own from USD per million tokens; cached input costs as input."""
    usd = {name: Decimal(input) for name in PROMPT_CLASSES}
    usd |= dict.fromkeys(("output", "reasoning", "output_audio"), Decimal(output))
    by_class = {name: ((-1, rates.pico(name, value)),) for name, value in usd.items()}
    return Price(source=source, provider=provider, model=model, currency="USD", rates=by_class)


def list_price(*, provider: str, model: str, at: datetime) -> Price | None:
    """Look up the list price that holds at the time `at`, or None when the model is unknown."""
    return _list_price(provider, model, at.replace(minute=0, second=0, microsecond=0))


@lru_cache(maxsize=512)
def _list_price(provider: str, model: str, hour: datetime) -> Price | None:
    # Imported late: the list takes half a second and 100 MB that a web process need not spend.
    import genai_prices

    listed = next((pair for name in _names(model) if (pair := _listed(provider, name))), None)
    if listed is None:
        return None
    lister, found = listed
    standard = _rates(lister.id, found.get_prices(hour))
    if "input" not in standard or "output" not in standard:
        return None
    return Price(
        source=f"genai-prices {genai_prices.__version__}",
        provider=provider,
        model=found.id,
        currency="USD",
        rates=standard,
        variants={
            tier: _rates(lister.id, found.get_prices(hour, _context(tier)))
            for tier in SERVICE_TIERS
            if _has_tier(found, tier, hour)
        },
    )


def _names(model: str) -> Iterator[str]:
    """A model's name as it is listed: as given, else without its version."""
    name = model.removeprefix("models/")
    yield name
    if undated := _VERSION.sub("", name):
        yield undated


def _listed(provider: str, model: str) -> tuple[Any, Any] | None:
    from genai_prices.data_snapshot import get_snapshot

    try:
        lister, found = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    return lister, found


def _context(tier: str) -> dict[str, str]:
    """Providers name the same choice differently; a tier's name says which it is."""
    return dict.fromkeys(("service_tier", "processing", "speed"), tier)


def _has_tier(found: Any, tier: str, hour: datetime) -> bool:
    # Before the date of its tiers the list would silently give the standard price.
    return any(
        variant.when.items() <= _context(tier).items()
        and (variant.constraint is None or variant.constraint.active(hour))
        for variant in found.price_variants or ()
    )


def _rates(lister: str, listed: Any) -> Rates:
    by_class = {name: _steps(listed, name) for name in _PRICE_KEYS}
    if not by_class["cache_write_1h"] and listed.cache_write_mtok is None:
        # A model whose cache costs nothing to write; else an hour is never charged as minutes.
        by_class["cache_write_1h"] = by_class["input"]
    if lister == _ONE_PRICE:
        for audio, text in _TEXT_OF_AUDIO.items():
            by_class[audio] = by_class[audio] or by_class[text]
    return {name: steps for name, steps in by_class.items() if steps}


def _steps(listed: Any, token_class: str) -> Steps:
    keys = _PRICE_KEYS[token_class]
    value = next((v for key in keys if (v := getattr(listed, key, None)) is not None), None)
    if value is None:
        return ()
    if isinstance(value, Decimal):
        return ((-1, rates.pico(token_class, value)),)
    steps = [(-1, rates.pico(token_class, value.base))]
    steps += [(tier.start, rates.pico(token_class, tier.price)) for tier in value.tiers]
    return tuple(steps)
