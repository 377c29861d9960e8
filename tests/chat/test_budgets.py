"""Runs under budgets: what they may cost, and what becomes of them when that is used up."""

import uuid
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.utils import timezone

from chat import leases, runs, sessions
from chat.agent import catalog
from chat.models import Run
from costs import budgets, ledger
from costs.budget_models import Budget, BudgetHold, BudgetWindow
from costs.models import LedgerEntry, ModelCall
from costs.usage import Usage
from tests import driving, invariants

#: The scripted provider's price: a token of output costs four of input.
LONG = "[[tokens=200 delay_ms=0]]"


def budget(limit_pico, *, scope="session", **more):
    return Budget.objects.create(scope=scope, period="day", limit_pico=limit_pico, **more)


def events_of(session, *kinds):
    return [e.event for e in driving.log_of(session) if e.type in kinds]


def charged():
    return sum(LedgerEntry.objects.values_list("amount_pico", flat=True))


@pytest.fixture
def cost_of_long(worker, session):
    """What an answer to LONG costs, and a session without runs to ask for it in."""
    worker.execute(driving.send(session, LONG).run_id)
    return charged()


def test_a_run_that_a_budget_has_no_room_for_is_not_sent(worker, session):
    budget(1)
    worker.execute(driving.send(session, LONG).run_id)
    run = Run.objects.get()
    assert (run.status, run.error_code) == ("failed", "budget_exceeded")
    assert not LedgerEntry.objects.exists()
    [exceeded] = events_of(session, "budget.exceeded")
    assert (exceeded.scope, exceeded.period) == ("session", "day")
    invariants.check_session(session)


def test_a_run_ends_at_the_token_that_uses_its_budget_up_and_goes_on_when_more_is_granted(
    worker, session, cost_of_long
):
    limit = 2 * cost_of_long
    budget(limit)
    run_id = driving.send(session, LONG).run_id
    worker.execute(run_id)
    run = Run.objects.get(pk=run_id)
    assert (run.status, run.error_code) == ("failed", "budget_exceeded")
    assert 50 < len(driving.text_of(session).split()) < 200
    token = LedgerEntry.objects.filter(token_class="output").first().rate_pico_per_m // 10**6
    assert limit - token <= charged() <= limit + 2 * token
    window = BudgetWindow.objects.get()
    driving.wait_for(lambda: not BudgetHold.objects.exists())
    window.refresh_from_db()
    assert (window.spent_pico, window.held_pico) == (charged(), 0)
    BudgetWindow.objects.update(extra_pico=2 * cost_of_long)
    again = async_to_sync(runs.retry)(run, model=run.model)
    worker.execute(again.run_id)
    assert Run.objects.get(pk=again.run_id).status == "finished"
    invariants.check_session(session)


def test_from_the_soft_limit_on_a_run_tells_how_much_is_used(worker, session, cost_of_long):
    budget(cost_of_long * 10, soft_percent=10)
    worker.execute(driving.send(session, LONG).run_id)
    [warning] = events_of(session, "budget.warning")
    assert warning.percent == 10
    assert Run.objects.filter(status="finished").count() == 2


def test_a_budget_of_each_session_is_not_used_by_another(worker, session, alice, cost_of_long):
    budget(cost_of_long // 2)
    other, _ = sessions.create(alice, model=session.model)
    worker.execute(driving.send(other, LONG).run_id)
    worker.execute(driving.send(session, LONG).run_id)
    failed = Run.objects.filter(status="failed").values_list("session", flat=True)
    assert set(failed) == {other.pk, session.pk}
    assert driving.text_of(other)


def one_and_a_half_answers():
    """The most that an answer may cost, once and a half: two of them do not fit in."""
    return settings.ENV.llm_max_tokens * 6 * 10**6


def test_a_request_that_has_ended_leaves_its_money_to_the_next_one(worker, session, cost_of_long):
    budget(cost_of_long + one_and_a_half_answers())
    tool = '[[tool=calculator args={"expression":"6*7"} tokens=5 delay_ms=0]]'
    run_id = driving.send(session, tool).run_id
    worker.execute(run_id)
    assert ModelCall.objects.filter(run_id=run_id).count() == 2
    assert Run.objects.get(pk=run_id).status == "finished"


def test_what_a_dead_attempt_has_set_aside_is_there_for_the_next(worker, session, cost_of_long):
    budget(cost_of_long + one_and_a_half_answers())
    run_id = driving.send(session, "[[tokens=5 delay_ms=0]]").run_id
    claim = leases.claim(run_id, worker="dead")
    payer = ledger.Payer(
        run_id=run_id, attempt=1, session_key=claim.ledger_key, owner_key=claim.owner_key
    )
    call_id, now = uuid.uuid4(), timezone.now()
    spender = budgets.Spender(
        owner_key=payer.owner_key, session_key=payer.session_key, model=claim.model
    )
    held = settings.ENV.llm_max_tokens * 4 * 10**6
    budgets.hold(call_id=call_id, spender=spender, at=now, least_pico=1, most_pico=held)
    ledger.open_call(
        call_id=call_id,
        payer=payer,
        provider="scripted",
        model="demo",
        price=catalog.price_of(claim.model, at=now),
        prompt=Usage(input=10),
        started_at=now,
    )
    Run.objects.filter(pk=run_id).update(lease_expires_at=now - timedelta(seconds=1))
    worker.execute(run_id)
    assert Run.objects.get(pk=run_id).status == "finished"
    assert not BudgetHold.objects.exists()
