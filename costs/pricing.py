"""What a model call costs: list prices from genai-prices, prices of our own, and unknown.

A price that is not known is None, never zero. The list is the one inside the installed package:
it never changes under a running process.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from costs import money
from costs.models import PriceSnapshot
from costs.usage import TOKEN_CLASSES, Usage

#: The price key of genai-prices for each class, then what a missing one falls back to.
_PRICE_KEYS = {
    "input": ("input_mtok",),
    "input_audio": ("input_audio_mtok", "input_mtok"),
    "cache_read": ("cache_read_mtok", "input_mtok"),
    "cache_read_audio": ("cache_audio_read_mtok", "cache_read_mtok", "input_mtok"),
    "cache_write_5m": ("cache_write_5m_mtok", "cache_write_mtok", "input_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "output": ("output_mtok",),
    "reasoning": ("output_reasoning_mtok", "output_mtok"),
    "output_audio": ("output_audio_mtok", "output_mtok"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The rates of one model at one time, in pico-dollars per million tokens of each class.

    A class maps to steps `(more than this many prompt tokens, rate)` in rising order: the step
    that a call's whole prompt reaches prices the whole call.
    """

    source: str
    provider: str
    model: str
    currency: str
    rates: Mapping[str, tuple[tuple[int, int], ...]]

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
        )

    def rate_pico(self, token_class: str, *, prompt_tokens: int) -> int | None:
        """The rate of a class for a call with this prompt, or None when it has no price."""
        reached = [rate for start, rate in self.rates.get(token_class, ()) if prompt_tokens > start]
        return reached[-1] if reached else None

    def total_pico(self, usage: Usage) -> int | None:
        """Price all classes of `usage`, or return None when one of them has no price."""
        total = 0
        for token_class, quantity in usage.by_class().items():
            rate = self.rate_pico(token_class, prompt_tokens=usage.prompt_tokens)
            if rate is None:
                return None
            total += money.amount_pico(quantity=quantity, rate_pico_per_m=rate)
        return total

    def as_json(self) -> dict[str, Any]:
        """The canonical form that is kept with the ledger."""
        return {
            "source": self.source,
            "provider": self.provider,
            "model": self.model,
            "currency": self.currency,
            "rates": {name: [list(step) for step in steps] for name, steps in self.rates.items()},
        }

    @property
    def digest(self) -> str:
        canonical = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def flat_price(*, source: str, provider: str, model: str, input: str, output: str) -> Price:
    """Make a price of our own from USD per million tokens; cached input costs as input."""
    rates = {
        name: ((-1, money.rate_pico(Decimal(input if "output" not in keys[-1] else output))),)
        for name, keys in _PRICE_KEYS.items()
    }
    return Price(source=source, provider=provider, model=model, currency="USD", rates=rates)


def list_price(*, provider: str, model: str, at: datetime) -> Price | None:
    """Look up the list price that holds at the time `at`, or None when the model is unknown."""
    return _list_price(provider, model, at.replace(minute=0, second=0, microsecond=0))


@lru_cache(maxsize=512)
def _list_price(provider: str, model: str, hour: datetime) -> Price | None:
    # Imported late: the list takes half a second and 100 MB that a web process need not spend.
    import genai_prices
    from genai_prices.data_snapshot import get_snapshot

    try:
        _, found = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    listed = found.get_prices(hour)
    rates = {name: steps for name in TOKEN_CLASSES if (steps := _steps(listed, _PRICE_KEYS[name]))}
    if "input" not in rates or "output" not in rates:
        return None
    source = f"genai-prices {genai_prices.__version__}"
    return Price(source=source, provider=provider, model=found.id, currency="USD", rates=rates)


def _steps(listed: Any, keys: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    value = next((v for key in keys if (v := getattr(listed, key, None)) is not None), None)
    if value is None:
        return ()
    if isinstance(value, Decimal):
        return ((-1, money.rate_pico(value)),)
    steps = [(-1, money.rate_pico(value.base))]
    steps += [(tier.start, money.rate_pico(tier.price)) for tier in value.tiers]
    return tuple(steps)
