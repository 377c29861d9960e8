"""`manage.py ledger_audit`: says ok of what is right, and names what is wrong."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costs import audit, guards
from costs.models import LedgerEntry, ModelCall
from costs.usage import Usage
from tests import ledger_guard
from tests.costs import calls

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture(autouse=True)
def call_id(monkeypatch):
    """A call that was estimated and reconciled, beside one that has no price."""
    monkeypatch.setattr(audit, "CHECK_AGAIN_AFTER_S", 0)
    payer = calls.payer()
    found = calls.opened(payer)
    calls.close(found, Usage(input=7, output=2), source=calls.ESTIMATED, status="cancelled")
    calls.close(found, Usage(input=9, output=1))
    calls.made(payer, Usage(input=5), price=None)
    calls.opened(calls.payer())
    return found


def run_audit():
    """Run the command; gives whether it ended well and what it printed."""
    out = StringIO()
    try:
        call_command("ledger_audit", stdout=out, stderr=StringIO())
    except SystemExit as end:
        return end.code, out.getvalue()
    return 0, out.getvalue()


def execute(statement):
    with ledger_guard.off(), connection.cursor() as cursor:
        cursor.execute(statement)


def insert_again(**changed):
    """Another entry like the newest adjustment, that nothing but its key allows."""
    row = LedgerEntry.objects.filter(kind="adjustment").values().first()
    LedgerEntry.objects.create(**{**row, "id": None, **changed})


def reverse_wrongly():
    entry = LedgerEntry.objects.filter(kind="adjustment").first()
    more = {"kind": "reversal", "quantity": -entry.quantity, "amount_pico": -1}
    insert_again(idempotency_key="call:x:rev9:input", reverses_id=entry.pk, **more)


def forget_a_price():
    ModelCall.objects.filter(flags=["reconciled"]).update(price=None)


DAMAGE = {
    "a charge below zero": (
        lambda: execute("UPDATE costs_ledgerentry SET quantity = -1 WHERE kind = 'unpriced'"),
        "M1",
    ),
    "a call that is gone": (lambda: execute("DELETE FROM costs_modelcall"), "M2"),
    "whose an entry is": (lambda: execute("UPDATE costs_ledgerentry SET owner_key = 'x'"), "M2"),
    "when its call was sent": (
        lambda: execute("UPDATE costs_ledgerentry SET call_started_at = '2026-01-01T00:00:00Z'"),
        "M2",
    ),
    "an entry twice": (lambda: insert_again(idempotency_key="call:x:adj1:input"), "M3"),
    "tokens that were not charged": (lambda: ModelCall.objects.update(prompt_tokens=1), "M3"),
    "an estimate that says it is none": (
        lambda: execute("UPDATE costs_ledgerentry SET is_estimate = NOT is_estimate"),
        "M4",
    ),
    "an amount": (
        lambda: execute("UPDATE costs_ledgerentry SET amount_pico = 1 WHERE kind = 'adjustment'"),
        "M6",
    ),
    "an amount that was reversed": (
        lambda: execute("UPDATE costs_ledgerentry SET amount_pico = 1 WHERE kind = 'charge'"),
        "M6",
    ),
    "a rate": (
        lambda: execute("UPDATE costs_ledgerentry SET rate_pico_per_m = 1 WHERE kind = 'charge'"),
        "M6",
    ),
    "the price of a call": (forget_a_price, "M6"),
    "a reversal": (
        lambda: execute("UPDATE costs_ledgerentry SET amount_pico = -1 WHERE kind = 'reversal'"),
        "M7",
    ),
    "half a posting reversed": (reverse_wrongly, "M7"),
    "a total": (
        lambda: execute("UPDATE costs_ledgerentry SET amount_pico = amount_pico + 1"),
        "M8",
    ),
    "a guard": (lambda: guards.drop(connection), "M9"),
}


def test_a_good_ledger_is_ok(call_id):
    assert run_audit() == (0, f"ok: {LedgerEntry.objects.count()} entries\n")


@pytest.mark.parametrize(("damage", "invariant"), DAMAGE.values(), ids=DAMAGE)
def test_what_is_wrong_is_named(damage, invariant):
    damage()
    code, printed = run_audit()
    assert code == 1
    assert any(line.startswith(f"{invariant} ") for line in printed.splitlines()), printed


def test_the_ledger_is_read_in_pages(monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr(audit, "PAGE", 2)
    for _ in range(5):
        calls.made(calls.payer(), Usage(input=1))
    with django_assert_max_num_queries(40):
        assert run_audit()[0] == 0


USAGES = st.builds(Usage, input=st.integers(0, 10**9), output=st.integers(0, 10**6))
STEPS = st.lists(st.tuples(USAGES, st.none() | st.integers(0, 10**15)), min_size=1, max_size=3)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_whatever_is_estimated_reconciled_and_stated_is_proven(steps):
    """Every entry stays; what stands is the newest truth, to the last pico-dollar."""
    payer = calls.payer()
    found = calls.opened(payer)
    calls.close(found, Usage(input=3), source=calls.ESTIMATED, status="cancelled")
    for usage, stated in steps:
        ModelCall.objects.filter(pk=found).update(usage_source="estimated")
        calls.close(found, usage, stated_pico=stated)
    call = ModelCall.objects.select_related("price").get(pk=found)
    assert list(audit.of_calls([call])) == []
    amounts = LedgerEntry.objects.filter(call_id=found).values_list("amount_pico", flat=True)
    usage, stated = steps[-1]
    due = stated if stated is not None else usage.input * 10**6 + usage.output * 4 * 10**6
    assert sum(amounts) == due
