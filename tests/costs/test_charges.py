"""What is charged class by class adds up to what is charged in all."""

import pytest

from costs import charges, ledger, repricing
from costs.tariffs import Tariff
from costs.usage import Usage
from tests.costs import calls

pytestmark = [pytest.mark.django_db, pytest.mark.database]

USED = Usage(input=1000, cache_read=500, cache_write_5m=40, output=100, reasoning=60)


def told(found):
    return [(charge.token_class, charge.quantity, charge.amount_pico) for charge in found]


def test_each_class_has_its_quantity_and_its_part_of_the_cost():
    payer = calls.payer()
    call_id = calls.made(payer, USED)
    of_run = told(charges.of_run(payer.run_id))
    assert of_run == [
        ("input", 1000, 1000 * 10**6),
        ("cache_read", 500, 500 * 10**6),
        ("cache_write_5m", 40, 40 * 10**6),
        ("output", 100, 400 * 10**6),
        ("reasoning", 60, 240 * 10**6),
    ]
    assert sum(amount for _, _, amount in of_run) == ledger.total_of_run(payer.run_id).amount_pico
    assert told(charges.of_call(call_id)) == told(charges.of_session(payer.session_key)) == of_run


def test_the_calls_of_a_run_are_told_apart():
    payer = calls.payer()
    first, second = (calls.made(payer, Usage(output=n)) for n in (1, 2))
    by_call = charges.by_call_of_run(payer.run_id)
    assert [told(by_call[call_id]) for call_id in (first, second)] == [
        [("output", 1, 4 * 10**6)],
        [("output", 2, 8 * 10**6)],
    ]
    assert told(charges.of_run(payer.run_id)) == [("output", 3, 12 * 10**6)]


def test_what_has_no_price_is_charged_nothing_that_is_known_until_it_gets_one():
    payer = calls.payer()
    calls.made(payer, Usage(input=10), price=None)
    assert told(charges.of_run(payer.run_id)) == [("input", 10, None)]
    tariff = Tariff(provider="p", listed=lambda model, at: calls.PRICE)
    list(repricing.corrections(tariff_of=lambda provider: tariff))
    assert told(charges.of_run(payer.run_id)) == [("input", 10, 10 * 10**6)]


def test_what_was_reversed_altogether_is_not_told():
    payer = calls.payer()
    call_id = calls.opened(payer)
    calls.close(call_id, Usage(input=7, reasoning=5), source=calls.ESTIMATED)
    calls.close(call_id, Usage(input=8))
    assert told(charges.of_call(call_id)) == [("input", 8, 8 * 10**6)]
