from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costs import money


@pytest.mark.parametrize(
    ("quantity", "usd_per_million", "expected"),
    [
        (1000, "0.15", 150_000_000),
        (1, "0.0025", 2_500),
        (3, "0.000000333333", 1),
        (1, "0.0000000000005", 0),
        (7, "15", 105_000_000),
    ],
)
def test_an_amount_is_quantity_times_rate(quantity, usd_per_million, expected):
    rate = money.pico(Decimal(usd_per_million))
    assert money.amount_pico(quantity=quantity, rate_pico_per_m=rate) == expected


@pytest.mark.parametrize(
    ("product", "expected"), [(500_000, 0), (1_500_000, 2), (2_500_000, 2), (2_500_001, 3)]
)
def test_a_half_is_rounded_to_even(product, expected):
    assert money.amount_pico(quantity=1, rate_pico_per_m=product) == expected


@given(st.integers(0, 10**9), st.integers(0, 10**14))
def test_an_amount_is_never_off_by_more_than_half_a_pico_dollar(quantity, rate):
    amount = money.amount_pico(quantity=quantity, rate_pico_per_m=rate)
    assert abs(amount * money.TOKENS_PER_RATE - quantity * rate) * 2 <= money.TOKENS_PER_RATE


@pytest.mark.parametrize(
    ("pico", "text"),
    [
        (0, "0"),
        (669_500_000, "0.0006695"),
        (22_350_000, "0.00002235"),
        (1, "0.000000000001"),
        (3 * money.PICO, "3"),
        (-1_500_000_000_000, "-1.5"),
    ],
)
def test_amounts_are_printed_in_plain_notation(pico, text):
    assert money.plain(pico) == text


@given(st.integers(-(10**18), 10**18))
def test_a_printed_amount_reads_back_exactly(pico):
    assert Decimal(money.plain(pico)) * money.PICO == pico


def test_an_unknown_amount_stays_unknown():
    assert money.plain_or_none(None) is None


@pytest.mark.parametrize("price", ["-1", "NaN", "Infinity"])
def test_C_7_what_is_no_price_is_refused(price):
    with pytest.raises(ValueError, match="no amount"):
        money.pico(Decimal(price))
