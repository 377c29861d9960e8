"""Prices of our own: which one counts, and what is refused as one."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError

from costs import money, pricing, tariffs
from costs.models import PriceOverride
from costs.tariffs import Tariff
from tests.costs.calls import START

LISTED = pricing.flat_price(source="list", provider="p", model="m", input="1", output="1")


def row(pattern, price, *, pk=1, days=0, tier="", **more):
    rates = {"input": price, "output": price} if price else {}
    return PriceOverride(
        pk=pk,
        provider="p",
        model_pattern=pattern,
        service_tier=tier,
        valid_from=START + timedelta(days=days),
        rates=rates | more,
    )


def chosen(*rows, model="gpt-4o", days=0, tier="", listed=LISTED):
    tariff = Tariff(provider="p", listed=lambda *_: listed, overrides=rows)
    price = tariff.price(model, at=START + timedelta(days=days), service_tier=tier)
    if price is None:
        return None
    return money.plain(price.rate_pico("input", prompt_tokens=1)), price.service_tier


@pytest.mark.parametrize(
    ("rows", "asked", "expected"),
    [
        ([row("gpt-4o", "2")], {}, ("2", "")),
        ([row("GPT-4*", "2")], {}, ("2", "")),
        ([row("gpt-4", "2")], {}, ("1", "")),
        ([row("other", "2")], {"listed": None}, None),
        # From its time on, and the newest that has begun.
        ([row("gpt-4o", "2", days=1)], {}, ("1", "")),
        ([row("gpt-4o", "2", days=1)], {"days": 1}, ("2", "")),
        ([row("gpt-4o", "2"), row("gpt-4o", "3", days=1)], {"days": 2}, ("3", "")),
        ([row("gpt-4o", "2"), row("gpt-4o", "3", days=1)], {}, ("2", "")),
        # A row that corrects one of the same time.
        ([row("gpt-4o", "3", pk=2), row("gpt-4o", "2")], {}, ("3", "")),
        # The most exact pattern, whatever is newer.
        ([row("gpt-4o", "2"), row("gpt-*", "3", days=1)], {"days": 2}, ("2", "")),
        ([row("gpt-4*", "2"), row("gpt-*", "3")], {}, ("2", "")),
        # Without rates it gives the list its say again.
        ([row("gpt-4o", "2"), row("gpt-4o", "", days=1)], {"days": 2}, ("1", "")),
        # A tier has rows of its own, else the standard price, which says that it is.
        ([row("gpt-4o", "2"), row("gpt-4o", "5", tier="flex")], {"tier": "flex"}, ("5", "flex")),
        ([row("gpt-4o", "2")], {"tier": "flex"}, ("2", "")),
        ([row("gpt-4o", "5", tier="flex")], {"tier": "default"}, ("1", "")),
    ],
)
def test_the_row_that_counts(rows, asked, expected):
    assert chosen(*rows, **asked) == expected


def test_the_list_s_own_price_of_a_tier_goes_before_the_standard_row():
    listed = pricing.list_price(provider="openai", model="gpt-4o", at=START)
    assert chosen(row("gpt-4o", "2"), tier="priority", listed=listed) == ("4.25", "priority")


def test_a_row_may_price_by_the_size_of_the_prompt():
    steps = {"0": "1.25", "200000": "2.50"}
    tariff = Tariff(
        provider="p",
        listed=lambda *_: None,
        overrides=[row("m", "1", input=steps, web_search="10")],
    )
    price = tariff.price("m", at=START)
    rates = [price.rate_pico("input", prompt_tokens=n) for n in (0, 200_000, 200_001)]
    assert rates == [1_250_000_000_000, 1_250_000_000_000, 2_500_000_000_000]
    # Per thousand; ten dollars for a thousand searches are ten thousand for a million.
    assert price.rate_pico("web_search", prompt_tokens=0) == 10_000 * money.PICO
    assert price.rate_pico("reasoning", prompt_tokens=0) == money.PICO
    assert price.rate_pico("cache_read", prompt_tokens=0) is None


@pytest.mark.parametrize(
    "rates",
    [
        {"input": 0.15, "output": "1"},
        {"input": "-1", "output": "1"},
        {"input": "NaN", "output": "1"},
        {"input": "1e400", "output": "1"},
        {"input": "0." + "1" * 30, "output": "1"},
        {"input": "cheap", "output": "1"},
        {"input": None, "output": "1"},
        {"input": {"200000": "1"}, "output": "1"},
        {"input": {"0": "1", "many": "2"}, "output": "1"},
        {"input": "1"},
        {"input": "1", "output": "1", "tokens": "1"},
        ["1", "2"],
        "1",
    ],
)
def test_C_7_what_is_no_price_is_refused_and_said(rates):
    with pytest.raises(ValidationError, match=r".+") as refused:
        PriceOverride(provider="p", model_pattern="m", valid_from=START, rates=rates).save()
    assert len(str(refused.value)) > 20


@pytest.mark.django_db
def test_the_rows_of_a_provider_are_read():
    for provider in ("p", "q"):
        PriceOverride.objects.create(provider=provider, model_pattern="m", valid_from=START)
    assert [found.provider for found in tariffs.overrides_of("p")] == ["p"]
