from datetime import UTC, datetime

import pytest

from costs import lines, pricing
from costs.usage import Usage

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def total(price, usage):
    return lines.total_pico(lines.of(usage.by_class(), price))


def test_a_list_price_has_a_rate_for_each_class():
    price = pricing.list_price(provider="openai", model="gpt-4o-mini", at=NOW)
    assert price.rate_pico("input", prompt_tokens=1) == 150_000_000_000
    assert price.rate_pico("cache_read", prompt_tokens=1) == 75_000_000_000
    assert price.rate_pico("output", prompt_tokens=1) == 600_000_000_000
    assert price.rate_pico("reasoning", prompt_tokens=1) == 600_000_000_000


def test_a_call_is_charged_class_by_class():
    price = pricing.list_price(provider="openai", model="gpt-4o-mini", at=NOW)
    usage = Usage(input=36, cache_read=64, output=10)
    assert total(price, usage) == 36 * 150_000 + 64 * 75_000 + 10 * 600_000


def test_C_7_an_unknown_model_has_no_price_and_not_a_price_of_zero():
    assert pricing.list_price(provider="openai", model="no-such-model", at=NOW) is None


@pytest.mark.parametrize(("prompt", "rate"), [(200_000, "1.25"), (200_001, "2.5")])
def test_a_long_prompt_reaches_the_next_step(prompt, rate):
    price = pricing.list_price(provider="google", model="gemini-2.5-pro", at=NOW)
    assert price.rate_pico("input", prompt_tokens=prompt) == int(float(rate) * 10**12)


def test_a_class_without_a_rate_makes_the_whole_call_unpriced():
    price = pricing.Price(
        source="test", provider="p", model="m", currency="USD", rates={"input": ((-1, 5),)}
    )
    assert total(price, Usage(input=1, output=1)) is None


def test_the_same_price_has_the_same_digest():
    first, again = (
        pricing.flat_price(source="s", provider="p", model="m", input="1", output="4")
        for _ in range(2)
    )
    other = pricing.flat_price(source="s", provider="p", model="m", input="1", output="5")
    assert first.digest == again.digest != other.digest


def test_a_price_of_zero_is_known_and_costs_nothing():
    price = pricing.flat_price(source="local", provider="local", model="m", input="0", output="0")
    assert total(price, Usage(input=10, output=10)) == 0
