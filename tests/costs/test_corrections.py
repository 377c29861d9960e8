"""Corrections: what was charged is reversed and posted anew, once, and the audit proves it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from costs import audit, checks, ledger, posting, pricing, repricing
from costs.models import CostReset, LedgerEntry, ModelCall, PriceOverride
from costs.tariffs import Tariff
from costs.usage import Usage
from tests.costs import calls
from tests.costs.calls import ESTIMATED, PRICE, START

pytestmark = [pytest.mark.django_db, pytest.mark.database]
DEAR = pricing.flat_price(source="dear", provider="p", model="m", input="10", output="40")


@pytest.fixture
def payer():
    return calls.payer()


def tariff_at(price):
    return lambda provider: Tariff(provider=provider, listed=lambda model, at: price)


def repriced(price, **more):
    return list(repricing.corrections(tariff_of=tariff_at(price), **more))


def written():
    """The ledger as rows that can be compared."""
    entries = LedgerEntry.objects.order_by("pk")
    return list(entries.values_list("kind", "token_class", "quantity", "amount_pico"))


def test_a_late_truth_reverses_the_estimate(payer):
    call_id = calls.opened(payer)
    calls.close(call_id, Usage(input=7, output=2), source=ESTIMATED, status="cancelled")
    before = list(LedgerEntry.objects.order_by("pk").values())
    for _ in range(2):
        calls.close(call_id, Usage(input=9, output=1))
    assert list(LedgerEntry.objects.order_by("pk").values())[:2] == before
    assert written()[2:] == [
        ("reversal", "input", -7, -7_000_000),
        ("reversal", "output", -2, -8_000_000),
        ("adjustment", "input", 9, 9_000_000),
        ("adjustment", "output", 1, 4_000_000),
    ]
    total = ledger.total_of_run(payer.run_id)
    assert (total.amount, total.completion_tokens) == ("0.000013", 1)
    owner = ledger.total_of_owner("u")
    assert (owner.amount, owner.prompt_tokens, owner.is_estimated) == ("0.000013", 9, False)
    call = ModelCall.objects.get()
    assert (call.status, call.flags) == ("cancelled", ["reconciled"])
    assert list(audit.violations()) == []


def test_an_estimate_does_not_replace_the_truth(payer):
    call_id = calls.made(payer, Usage(input=9))
    calls.close(call_id, Usage(input=7, output=2), source=ESTIMATED)
    assert written() == [("charge", "input", 9, 9_000_000)]


def test_what_had_no_price_is_priced_later_and_once(payer):
    calls.made(payer, Usage(input=10, output=1), price=None)
    calls.made(payer, Usage(input=1))
    assert ledger.total_of_run(payer.run_id).unpriced_calls == 1
    assert repriced(None) == []
    done = repriced(PRICE)
    assert [(c.model, c.before, c.after, c.source) for c in done] == [
        ("p:m", None, "0.000014", "test")
    ]
    assert repriced(PRICE) == []
    assert written()[3:] == [
        ("reversal", "input", -10, None),
        ("reversal", "output", -1, None),
        ("adjustment", "input", 10, 10_000_000),
        ("adjustment", "output", 1, 4_000_000),
    ]
    for total in (ledger.total_of_run(payer.run_id), ledger.total_of_owner("u")):
        assert (total.amount, total.unpriced_calls) == ("0.000015", 0)
    assert list(audit.violations()) == []


def test_what_is_priced_wrongly_is_only_corrected_when_that_is_asked_for(payer):
    call_id = calls.made(payer, Usage(input=10))
    assert repriced(DEAR) == []
    for price, amount in ((DEAR, "0.0001"), (PRICE, "0.00001"), (DEAR, "0.0001")):
        assert [c.after for c in repriced(price, includes_priced=True)] == [amount]
        assert repriced(price, includes_priced=True) == []
        assert ledger.total_of_run(payer.run_id).amount == amount
    assert LedgerEntry.objects.filter(call_id=call_id).count() == 7
    assert list(audit.violations()) == []


def test_a_newer_list_with_the_same_rate_corrects_nothing(payer):
    calls.made(payer, Usage(input=10))
    newer = replace(PRICE, source="a newer list")
    assert repriced(newer, includes_priced=True) == []
    assert written() == [("charge", "input", 10, 10_000_000)]
    assert list(audit.violations()) == []


def test_a_class_without_a_rate_is_priced_when_there_is_one(payer):
    partly = pricing.Price(
        source="part", provider="p", model="m", currency="USD", rates={"input": ((-1, 10**12),)}
    )
    calls.made(payer, Usage(input=10, output=1), price=partly)
    total = ledger.total_of_run(payer.run_id)
    assert (total.amount, total.unpriced_calls) == ("0.00001", 1)
    assert list(audit.violations()) == []
    assert [(c.before, c.after) for c in repriced(PRICE)] == [("0.00001", "0.000014")]
    assert ledger.total_of_run(payer.run_id).unpriced_calls == 0
    assert list(audit.violations()) == []


def test_repricing_is_narrowed_by_model_and_time_and_may_be_tried(payer):
    calls.made(payer, Usage(input=1), price=None, at=START - timedelta(days=2))
    calls.made(payer, Usage(input=2), price=None, served_model="m-2")
    assert repriced(PRICE, since=START + timedelta(days=1)) == []
    assert len(repriced(PRICE, is_dry_run=True)) == 2
    assert LedgerEntry.objects.count() == 2
    assert [c.model for c in repriced(PRICE, since=START, model="p:m*")] == ["p:m-2"]
    assert [c.model for c in repriced(PRICE, model="m")] == ["p:m"]


def test_what_a_provider_states_is_charged_as_stated(payer):
    known = calls.made(payer, Usage(input=10, output=10), stated_pico=45_000_001)
    unknown = calls.made(payer, Usage(input=10, output=10), stated_pico=3, price=None)
    free = calls.made(payer, Usage(input=5), stated_pico=0)
    amounts = {
        call_id: list(
            LedgerEntry.objects.filter(call_id=call_id).values_list("amount_pico", flat=True)
        )
        for call_id in (known, unknown, free)
    }
    assert amounts == {known: [9_000_000, 36_000_001], unknown: [2, 1], free: [0]}
    assert ledger.total_of_run(payer.run_id).unpriced_calls == 0
    assert repriced(DEAR, includes_priced=True) == []
    assert list(audit.violations()) == []


def test_corrections_belong_to_the_time_of_their_call(payer):
    calls.made(payer, Usage(input=10), price=None)
    ledger.reset("u")
    assert len(repriced(PRICE)) == 1
    assert ledger.total_of_owner("u").amount is None
    calls.made(payer, Usage(input=1), at=CostReset.objects.get().at + timedelta(seconds=1))
    assert ledger.total_of_owner("u").amount == "0.000001"


@pytest.mark.django_db(transaction=True)
def test_threads_that_close_and_correct_the_same_call_charge_it_once(payer):
    call_id = calls.opened(payer, price=None)
    begun = threading.Barrier(8)

    def work(number):
        try:
            begun.wait(5)
            if number % 2:
                close(call_id)
            repriced(PRICE)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    repriced(PRICE)
    kinds = [kind for kind, *_ in written()]
    assert kinds == ["unpriced", "reversal", "adjustment"]
    assert list(audit.violations()) == []


def close(call_id):
    with transaction.atomic():
        calls.close(call_id, Usage(input=10), price=None)


def command(*options):
    out = StringIO()
    call_command("reprice", *options, stdout=out)
    return out.getvalue().splitlines()


def test_the_command_prices_by_the_admin_s_rows_and_says_what_it_posted(payer):
    calls.made(payer, Usage(input=10), price=None, served_model="house-model-7")
    calls.made(payer, Usage(input=1), price=None, served_model="other")
    messages = checks.check_prices(databases=["default"])
    assert [m.id for m in messages] == ["costs.W001"] * 2
    assert "p:house-model-7" in messages[0].msg
    assert checks.check_prices(databases=None) == []
    PriceOverride.objects.create(
        provider="p",
        model_pattern="house-*",
        valid_from=START,
        rates={"input": "2", "output": "8"},
    )
    tried = command("--dry-run")
    assert "unknown" in tried[1]
    assert tried[2] == "To be corrected: 1, 0.00002 USD more"
    header, row, said, left = command("--since", "2026-11-01")
    assert header.split()[0] == "call"
    assert "p:house-model-7" in row
    assert row.split()[-4:-2] == ["unknown", "0.00002"]
    assert said == "Corrected: 1, 0.00002 USD more"
    assert left == "Still without a price: p:other (1)"
    assert command("--model", "house-*")[0] == "Corrected: 0, 0 USD more"
    with pytest.raises(CommandError, match="no time"):
        command("--since", "yesterday")


def test_an_amount_that_changed_under_its_key_is_an_alarm(payer):
    call_id = calls.made(payer, Usage(input=10))
    call = ledger.locked(call_id)
    call.usage_by_class = {"input": 11}
    with pytest.raises(posting.ConflictingCharge):
        posting.charge(call)
