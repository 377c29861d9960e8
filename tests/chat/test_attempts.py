"""One run and several workers: who executes it, who writes for it, and who takes it over."""

import threading
import uuid

import pytest
from django.utils import timezone

from chat import events, leases
from chat.agent import catalog
from chat.models import Run
from chat.worker import Worker
from costs import ledger
from costs.usage import Usage
from tests import driving, invariants
from tests.chat.test_execution import in_background

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def test_a_run_is_executed_by_one_of_many_workers(worker, session):
    started = driving.send(session, "[[tokens=20 delay_ms=1]]")
    threads = [in_background(worker, started.run_id) for _ in range(10)]
    for thread in threads:
        thread.join()
    assert [e.type for e in driving.log_of(session)].count("run.started") == 1
    invariants.check_session(session)


def test_a_zombie_writes_nothing_once_the_run_is_somebody_else_s(worker, session):
    started = driving.send(session, "[[tokens=1000 delay_ms=5]]")
    thread = in_background(worker, started.run_id)
    driving.wait_for(lambda: driving.text_of(session))
    Run.objects.filter(pk=started.run_id).update(worker="another", attempt=2)
    before = len(driving.log_of(session))
    thread.join(timeout=5)
    assert not thread.is_alive()
    assert len(driving.log_of(session)) == before


def test_a_new_attempt_says_what_it_replaces_and_keeps_the_old_charges(worker, session):
    started = driving.send(session, "[[tokens=4 delay_ms=0]]")
    claim = leases.claim(started.run_id, worker="dead")
    call = ledger.Payer(
        run_id=started.run_id,
        attempt=1,
        session_key=claim.ledger_key,
        owner_key=claim.owner_key,
    )
    call_id = uuid.uuid4()
    ledger.open_call(
        call_id=call_id,
        payer=call,
        provider="scripted",
        model="demo",
        price=catalog.price_of("scripted:demo", at=timezone.now()),
        prompt=Usage(input=1000),
        started_at=timezone.now(),
    )
    Run.objects.update(lease_expires_at=timezone.now() - timezone.timedelta(seconds=1))
    worker.execute(started.run_id)
    run = Run.objects.get()
    assert (run.status, run.attempt) == ("finished", 2)
    begun = [e.event for e in driving.log_of(session) if e.type == "attempt.started"]
    assert begun == [events.AttemptStarted(replaces=1)]
    statuses = [c.status for c in ledger.calls_of_run(run.pk)]
    assert statuses == ["abandoned", "complete"]
    told = [e.event for e in driving.log_of(session) if e.type == "cost.updated"][-1]
    assert told.total == ledger.total_of_run(run.pk).amount
    invariants.check_session(session)


def test_a_shutdown_hands_back_what_has_shown_nothing(worker, session):
    started = driving.send(session, "[[tokens=10 delay_ms=100000]]")
    thread = in_background(worker, started.run_id)
    driving.wait_for_status(started.run_id, "running")
    driving.wait_for(lambda: ledger.calls_of_run(started.run_id))
    worker.shut_down()
    run = driving.wait_for_status(started.run_id, "queued", timeout_s=8)
    thread.join()
    assert (run.worker, run.attempt) == ("", 1)
    # Its row is seen a moment before the worker hears that it is there.
    assert [c.status for c in ledger.calls_of_run(run.pk)] in (["cancelled"], ["abandoned"])


def test_W3_a_shutdown_hands_over_what_has_been_said_to_the_next_attempt(worker, session):
    started = driving.send(session, "[[tokens=8 delay_ms=150]]")
    thread = in_background(worker, started.run_id)
    driving.wait_for(lambda: driving.text_of(session))
    worker.shut_down()
    thread.join()
    assert Run.objects.get().status == "queued"
    another = Worker(concurrency=5)
    another.start()
    driving.wait_for_status(started.run_id, "finished")
    another.close()
    run = Run.objects.get()
    assert run.attempt == 2
    begun = [e.event for e in driving.log_of(session) if e.type == "attempt.started"]
    assert begun == [events.AttemptStarted(replaces=1)]
    statuses = [c.status for c in ledger.calls_of_run(run.pk)]
    assert statuses == ["cancelled", "complete"]
    invariants.check_session(session)


def test_W3_a_run_that_is_claimed_during_a_shutdown_is_handed_over(worker, session, monkeypatch):
    claim, is_claiming = leases.claim, threading.Event()

    def claim_slowly(*args, **kwargs):
        is_claiming.set()
        threading.Event().wait(0.3)
        return claim(*args, **kwargs)

    monkeypatch.setattr(leases, "claim", claim_slowly)
    started = driving.send(session, "[[tokens=600 delay_ms=10]]")
    thread = in_background(worker, started.run_id)
    is_claiming.wait(5)
    worker.shut_down()
    thread.join(5)
    assert not thread.is_alive()
    assert Run.objects.get().status == "queued"


def test_W3_what_the_reaper_executes_is_handed_over_before_the_process_ends(worker, session):
    driving.send(session, "[[tokens=600 delay_ms=10]]")
    Run.objects.update(created_at=timezone.now() - timezone.timedelta(seconds=10))
    driving.wait_for(lambda: driving.text_of(session))
    worker.shut_down()
    worker.wait_until_drained()
    assert Run.objects.get().status == "queued"


def test_W3_a_shutdown_ends_a_run_that_has_called_tools(worker, session):
    started = driving.send(
        session, '[[tool=calculator args={"expression":"6*7"} tokens=500 delay_ms=20]]'
    )
    thread = in_background(worker, started.run_id)
    driving.wait_for(lambda: any(e.type == "tool.result" for e in driving.log_of(session)))
    worker.shut_down()
    thread.join()
    run = Run.objects.get()
    assert (run.status, run.error_code) == ("failed", "interrupted")
    invariants.check_session(session)


def test_W3_a_shutdown_ends_the_last_attempt(worker, session):
    started = driving.send(session, "[[tokens=500 delay_ms=20]]")
    Run.objects.update(attempt=2)
    thread = in_background(worker, started.run_id)
    driving.wait_for(lambda: driving.text_of(session))
    worker.shut_down()
    thread.join()
    run = Run.objects.get()
    assert (run.status, run.attempt) == ("failed", 3)
    invariants.check_session(session)
