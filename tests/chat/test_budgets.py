"""Runs under budgets: what they may cost, and what becomes of them when that is used up."""

import pytest
from asgiref.sync import async_to_sync

from chat import runs, sessions
from chat.models import Run
from costs.budget_models import Budget, BudgetHold, BudgetWindow
from costs.models import LedgerEntry
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
