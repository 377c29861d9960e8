import uuid
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from costs import audit, ledger, pricing
from costs.ledger import CallResult, Payer
from costs.models import LedgerEntry, ModelCall, PriceSnapshot, WrittenOnce
from costs.posting import ConflictingCharge
from costs.usage import Usage

pytestmark = [pytest.mark.django_db, pytest.mark.database]
PRICE = pricing.flat_price(source="test", provider="p", model="m", input="1", output="4")


@pytest.fixture
def payer():
    return Payer(run_id=uuid.uuid4(), attempt=1, session_key="u/s", owner_key="u")


def open_call(payer, *, price=PRICE):
    call_id = uuid.uuid4()
    ledger.open_call(
        call_id=call_id,
        payer=payer,
        provider="p",
        model="m",
        price=price,
        prompt=Usage(input=7),
        started_at=timezone.now(),
    )
    return call_id


def close_call(
    call_id, usage, *, source=ModelCall.UsageSource.PROVIDER, status="complete", price=PRICE, **more
):
    ledger.close_call(
        CallResult(
            call_id=call_id,
            status=ModelCall.Status(status),
            usage=usage,
            price=price,
            **more,
            usage_source=source,
            usage_raw={},
            ended_at=timezone.now(),
        )
    )


def test_a_closed_call_is_charged_line_by_line(payer):
    close_call(open_call(payer), Usage(input=10, cache_read=5, output=3))
    lines = {e.token_class: (e.quantity, e.amount_pico) for e in LedgerEntry.objects.all()}
    assert lines == {
        "input": (10, 10_000_000),
        "cache_read": (5, 5_000_000),
        "output": (3, 12_000_000),
    }
    total = ledger.total_of_run(payer.run_id)
    assert (total.amount, total.prompt_tokens, total.completion_tokens) == ("0.000027", 15, 3)
    assert not total.is_estimated


def test_a_call_is_charged_once_however_often_it_is_closed(payer):
    call_id = open_call(payer)
    for _ in range(3):
        close_call(call_id, Usage(input=10))
    assert LedgerEntry.objects.count() == 1


def test_another_amount_under_the_same_key_is_an_alarm(payer):
    call_id = open_call(payer)
    close_call(call_id, Usage(input=10))
    ModelCall.objects.filter(pk=call_id).update(status="open", ended_at=None)
    with pytest.raises(ConflictingCharge):
        close_call(call_id, Usage(input=11))


def test_without_a_price_the_amount_is_unknown_and_never_zero(payer):
    close_call(open_call(payer, price=None), Usage(input=10, output=1), price=None)
    total = ledger.total_of_run(payer.run_id)
    assert total.amount is None
    assert total.unpriced_calls == 1
    assert set(LedgerEntry.objects.values_list("kind", "amount_pico")) == {("unpriced", None)}


def test_a_priced_and_an_unpriced_call_give_what_is_known(payer):
    close_call(open_call(payer), Usage(input=10))
    close_call(open_call(payer, price=None), Usage(input=10), price=None)
    total = ledger.total_of_run(payer.run_id)
    assert (total.amount, total.unpriced_calls) == ("0.00001", 1)


def test_a_call_that_failed_before_output_costs_nothing(payer):
    close_call(open_call(payer), None, source=ModelCall.UsageSource.NONE, status="failed")
    assert not LedgerEntry.objects.exists()
    assert ledger.total_of_run(payer.run_id).amount is None


def test_an_estimate_is_marked(payer):
    close_call(
        open_call(payer), Usage(input=2), source=ModelCall.UsageSource.ESTIMATED, status="cancelled"
    )
    assert LedgerEntry.objects.get().is_estimate
    assert ledger.total_of_run(payer.run_id).is_estimated


def test_what_a_dead_worker_used_is_charged(payer):
    call_id = open_call(payer)
    ledger.keep_usage(call_id=call_id, usage=Usage(input=7, output=2), first_token_at=None)
    for _ in range(2):
        ledger.abandon_calls(run_id=payer.run_id, shown=lambda: 0)
    call = ModelCall.objects.get()
    assert call.status == "abandoned"
    assert call.flags == ["billing_uncertain"]
    assert ledger.total_of_run(payer.run_id).amount == "0.000015"


def test_what_was_shown_is_charged_although_it_was_not_kept_yet(payer):
    close_call(open_call(payer), Usage(input=7, output=10))
    open_call(payer)
    ledger.abandon_calls(run_id=payer.run_id, shown=lambda: 14)
    abandoned = ModelCall.objects.get(status="abandoned")
    assert abandoned.usage_by_class == {"input": 7, "output": 4}
    assert ledger.total_of_run(payer.run_id).completion_tokens == 14
    assert list(audit.violations()) == []


def test_a_late_snapshot_does_not_reopen_a_closed_call(payer):
    call_id = open_call(payer)
    close_call(call_id, Usage(input=7))
    ledger.keep_usage(call_id=call_id, usage=Usage(input=99), first_token_at=None)
    assert ModelCall.objects.get().prompt_tokens == 7


def test_one_price_is_kept_once(payer):
    for _ in range(3):
        close_call(open_call(payer), Usage(input=1))
    assert PriceSnapshot.objects.count() == 1


def test_sums_of_several_runs_and_of_the_session(payer):
    other = Payer(run_id=uuid.uuid4(), attempt=1, session_key="u/s", owner_key="u")
    close_call(open_call(payer), Usage(input=1))
    close_call(open_call(other), Usage(input=2))
    amounts = {k: t.amount for k, t in ledger.totals_by_run([payer.run_id, other.run_id]).items()}
    assert amounts == {payer.run_id: "0.000001", other.run_id: "0.000002"}
    assert ledger.total_of_session("u/s").amount == "0.000003"


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.save(),
        lambda e: e.delete(),
        lambda e: LedgerEntry.objects.update(quantity=0),
        lambda e: LedgerEntry.objects.all().delete(),
        lambda e: LedgerEntry.objects.bulk_update([e], ["quantity"]),
        lambda e: LedgerEntry._base_manager.filter(pk=e.pk).delete(),
    ],
)
def test_an_entry_is_never_changed_or_deleted(payer, change):
    close_call(open_call(payer), Usage(input=1))
    entry = LedgerEntry.objects.get()
    with pytest.raises(WrittenOnce):
        change(entry)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "charge", "amount_pico": None},
        {"kind": "charge", "quantity": -1},
        {"kind": "unpriced", "amount_pico": 5},
        {"kind": "reversal"},
    ],
)
def test_the_database_itself_refuses_impossible_entries(payer, wrong):
    close_call(open_call(payer), Usage(input=1))
    known = LedgerEntry.objects.values().get()
    values = {**known, "id": None, "idempotency_key": "another", **wrong}
    with pytest.raises(IntegrityError), transaction.atomic():
        LedgerEntry.objects.create(**values)


def test_a_call_belongs_to_the_time_it_was_started_at(payer):
    started_at = timezone.now() - timedelta(days=3)
    call_id = uuid.uuid4()
    ledger.open_call(
        call_id=call_id,
        payer=payer,
        provider="p",
        model="m",
        price=PRICE,
        prompt=Usage(),
        started_at=started_at,
    )
    close_call(call_id, Usage(input=1))
    assert LedgerEntry.objects.get().call_started_at == started_at
