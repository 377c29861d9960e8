"""List prices, against arithmetic done by hand from the providers' price pages (read 2026-11)."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costs import lines, money, pricing, rates
from costs.usage import CLASSES, Usage

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def price_of(model, *, tier="", at=NOW):
    provider, _, name = model.partition(":")
    return pricing.list_price(provider=provider, model=name, at=at).at_tier(tier)


def cost(model, by_class, **more):
    total = lines.total_pico(lines.of(by_class, price_of(model, **more)))
    return money.plain_or_none(total)


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        ("openai:gpt-4", "0.09"),
        ("openai:gpt-4-turbo", "0.04"),
        ("openai:gpt-4-turbo-preview", "0.04"),
        ("openai:gpt-3.5-turbo", "0.002"),
        ("anthropic:claude-3-haiku-20240307", "0.0015"),
    ],
)
def test_F07_a_name_that_begins_like_another_has_its_own_price(model, usd):
    assert cost(model, {"input": 1000, "output": 1000}) == usd


def test_F07_a_model_that_nobody_lists_has_no_price():
    assert pricing.list_price(provider="openai", model="gpt-4-unheard-of", at=NOW) is None


@pytest.mark.parametrize(
    ("model", "tier", "by_class", "usd"),
    [
        # 36 x 0.15 + 64 x 0.075 + 10 x 0.60, each / 1e6
        ("openai:gpt-4o-mini", "", {"input": 36, "cache_read": 64, "output": 10}, "0.0000162"),
        ("openai:gpt-4o-mini", "", {"output": 3, "reasoning": 7}, "0.000006"),
        ("openai:gpt-4o", "priority", {"input": 1000, "cache_read": 1000}, "0.006375"),
        ("openai:gpt-4o", "batch", {"input": 1000, "output": 1000}, "0.00625"),
        ("openai:gpt-5.4", "flex", {"input": 1000, "output": 1000}, "0.00875"),
        # The whole call goes by the size of its prompt, and only above the limit.
        ("openai:gpt-5.4", "", {"input": 272_000, "output": 1000}, "0.695"),
        ("openai:gpt-5.4", "", {"input": 272_001, "output": 1000}, "1.382505"),
        ("openai:gpt-5.4", "", {"input": 1, "cache_read": 272_000, "output": 1000}, "0.158505"),
        ("openai:gpt-audio", "", {"input_audio": 1000, "output_audio": 500}, "0.064"),
        ("openai:gpt-realtime", "", {"cache_read_audio": 1000, "input_audio": 10}, "0.00072"),
        ("openai:gpt-4o", "", {"input": 1, "web_search": 3}, "0.0300025"),
        # Writes cost 1.25 times the input for 5 minutes, twice for an hour; reads a tenth.
        ("anthropic:claude-sonnet-4-5", "", {"cache_write_5m": 1000}, "0.00375"),
        ("anthropic:claude-sonnet-4-5", "", {"cache_write_1h": 1000}, "0.006"),
        ("anthropic:claude-sonnet-4-5", "", {"cache_read": 1000, "output": 10}, "0.00045"),
        ("anthropic:claude-sonnet-4-5", "batch", {"input": 1000}, "0.0015"),
        ("anthropic:claude-opus-5", "fast", {"input": 1000, "output": 1000}, "0.06"),
        ("anthropic:claude-haiku-5-5", "", {"input": 1, "cache_read": 100_000}, "0.0050005"),
        ("anthropic:claude-sonnet-4-5", "", {"web_search": 2}, "0.02"),
        ("google:gemini-2.5-pro", "", {"input": 200_000}, "0.25"),
        ("google:gemini-2.5-pro", "", {"input": 200_001}, "0.5000025"),
        ("google:gemini-2.5-flash", "", {"input": 500, "input_audio": 1000}, "0.00115"),
        # Google has one price for text and audio where it lists no other.
        ("google:gemini-2.5-pro", "", {"input_audio": 1000}, "0.00125"),
    ],
)
def test_a_call_costs_what_the_price_page_says(model, tier, by_class, usd):
    assert cost(model, by_class, tier=tier) == usd
    assert price_of(model, tier=tier).service_tier == tier


@pytest.mark.parametrize(
    ("model", "by_class"),
    [
        # Listed with the price of text alone, which audio costs a multiple of.
        ("openai:gpt-4o-audio-preview", {"input": 1, "input_audio": 5}),
        # Written for an hour, where only the price of five minutes is listed.
        ("openrouter:anthropic/claude-opus-4", {"input": 1, "cache_write_1h": 5}),
        ("openai:gpt-3.5-turbo", {"input": 1, "web_search": 1}),
        ("openai:gpt-4o", {"input": 1, "telepathy": 1}),
    ],
)
def test_what_has_no_rate_is_unpriced_and_the_rest_is_not(model, by_class):
    charged = lines.of(by_class, price_of(model))
    assert [line.amount_pico is None for line in charged] == [False, True]
    assert lines.total_pico(charged) is None
    assert lines.known_pico(charged) == charged[0].amount_pico > 0


def test_C_7_an_unknown_model_has_no_price_and_not_a_price_of_zero():
    assert pricing.list_price(provider="openai", model="no-such-model", at=NOW) is None
    assert pricing.list_price(provider="no-such-provider", model="gpt-4o", at=NOW) is None
    assert lines.known_pico(lines.of({"input": 5}, None)) is None


@pytest.mark.parametrize(
    ("served", "listed"),
    [
        ("openai:gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("openai:gpt-4o-mini-2099-01-01", "gpt-4o-mini"),
        ("google:models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("google:gemini-2.5-flash-001", "gemini-2.5-flash"),
    ],
)
def test_a_version_of_a_model_has_the_model_s_price(served, listed):
    assert price_of(served).model == listed


def test_a_tier_without_a_price_of_its_own_says_so():
    before_tiers = datetime(2026, 10, 1, tzinfo=UTC)
    assert price_of("openai:gpt-4o", tier="priority", at=before_tiers).service_tier == ""
    assert price_of("openai:gpt-4o", tier="nonsense").service_tier == ""
    for standard in ("", "auto", "default", "standard", "ON_DEMAND"):
        assert pricing.tier_of(standard) == ""
    assert pricing.tier_of("ON_DEMAND_FLEX") == "flex"


def test_a_price_is_the_one_of_the_time_in_utc():
    before, after = datetime(2026, 11, 30, 23, 59, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    first, second = (
        price_of("google:gemini-4-argon", at=at).rate_pico("input", prompt_tokens=1)
        for at in (before, after)
    )
    assert second == 2 * first


def test_the_same_price_has_the_same_digest():
    first, again = (
        pricing.flat_price(source="s", provider="p", model="m", input="1", output="4")
        for _ in range(2)
    )
    other = pricing.flat_price(source="s", provider="p", model="m", input="1", output="5")
    assert first.digest == again.digest != other.digest
    listed = price_of("openai:gpt-4o")
    assert listed.at_tier("priority").digest != listed.digest


def test_a_price_of_zero_is_known_and_costs_nothing():
    price = pricing.flat_price(source="local", provider="local", model="m", input="0", output="0")
    assert lines.total_pico(lines.of({"input": 10, "output": 10}, price)) == 0


@pytest.mark.parametrize(
    ("raw", "pico"),
    [
        ({"cost": 0.00045}, 450_000_000),
        ({"cost": 1e-7}, 100_000),
        ({"cost": 0}, 0),
        ({}, None),
        ({"cost": None}, None),
        ({"cost": -1}, None),
        ({"cost": float("nan")}, None),
        ({"cost": 10**400}, None),
        ({"cost": True}, None),
        ({"cost": "many"}, None),
    ],
)
def test_what_a_provider_says_it_charges_is_taken_exactly(raw, pico):
    assert pricing.stated_pico(raw) == pico


QUANTITIES = st.dictionaries(st.sampled_from(CLASSES), st.integers(0, 10**9), min_size=1)
RATES = st.decimals(0, 1000, places=12).map(str)
PRICES = st.fixed_dictionaries(dict.fromkeys(CLASSES, RATES))


def made(written):
    read = rates.read(written)
    return pricing.Price(source="s", provider="p", model="m", currency="USD", rates=read)


@given(QUANTITIES, PRICES)
def test_lines_are_whole_and_sum_up_to_the_exact_product(by_class, written):
    charged = lines.of(by_class, made(written))
    assert all(type(line.amount_pico) is int for line in charged)
    total = lines.total_pico(charged)
    assert total == sum(line.amount_pico for line in charged)
    exact = sum(
        Decimal(written[name]) * quantity * (1000 if name == "web_search" else 1)
        for name, quantity in by_class.items()
    ) * (money.PICO // 10**6)
    assert abs(total - exact) * 2 <= len(charged)


@given(QUANTITIES, st.none() | PRICES, st.integers(0, 10**15))
def test_a_stated_amount_is_divided_without_a_rest(by_class, written, stated):
    charged = lines.of(by_class, made(written) if written else None, stated_pico=stated)
    assert lines.total_pico(charged) == stated
    assert all(line.amount_pico >= 0 for line in charged)


def test_a_stated_amount_is_divided_by_list_price_and_the_largest_takes_the_rest():
    price = pricing.flat_price(source="s", provider="p", model="m", input="1", output="4")
    charged = lines.of({"input": 1, "output": 2}, price, stated_pico=100)
    assert [line.amount_pico for line in charged] == [11, 89]
    assert [line.amount_pico for line in lines.of({}, None, stated_pico=7)] == [7]


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_splitting_a_prompt_among_classes_never_makes_it_free(plain, cached, written):
    usage = Usage(input=plain, cache_read=cached, cache_write_5m=written)
    total = lines.total_pico(lines.of(usage.by_class(), price_of("anthropic:claude-sonnet-4-5")))
    assert (total > 0) == (usage.prompt_tokens > 0)
