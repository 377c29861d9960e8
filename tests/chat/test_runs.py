"""Runs from the client's side: what happens when two things happen at once."""

import threading
import time
import uuid
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction

from chat import broadcast, doorbell, endings, events, leases, runs, sessions
from chat.models import ChatSession, Message, Run
from tests import driving, invariants

pytestmark = pytest.mark.django_db(transaction=True)

SHORT = "[[tokens=2 delay_ms=0]]"
LONG = "[[tokens=2000 delay_ms=5]]"


@pytest.fixture
def ending(monkeypatch):
    """Holds the transaction that ends a run in the worker until the test lets it go on."""
    reached, may_go_on = threading.Event(), threading.Event()
    end = endings.end

    def end_slowly(run, terminal, **more):
        if terminal.type == "run.finished":
            reached.set()
            may_go_on.wait(5)
        end(run, terminal, **more)

    monkeypatch.setattr(endings, "end", end_slowly)
    yield reached, may_go_on
    may_go_on.set()


def test_a_cancel_while_the_end_is_being_stored_comes_too_late(ringing, session, ending):
    reached, may_go_on = ending
    started = driving.send(session, SHORT)
    reached.wait(5)
    async_to_sync(broadcast.cancel)(started.run_id, "requested")
    time.sleep(0.2)
    may_go_on.set()
    run = driving.wait_for_status(started.run_id, "finished")
    driving.wait_for(lambda: not ringing._running)
    assert run.cancel_reason == ""
    invariants.check_session(session)


@pytest.fixture
def storing(monkeypatch):
    """Holds the worker's transactions while `may_go_on` is clear."""
    may_go_on = threading.Event()
    may_go_on.set()
    still_held = leases.still_held

    def look_slowly(places, *, worker):
        may_go_on.wait(10)
        return still_held(places, worker=worker)

    monkeypatch.setattr(leases, "still_held", look_slowly)
    yield may_go_on
    may_go_on.set()


def test_a_cancel_while_the_end_waits_to_be_stored_ends_the_run_once(ringing, session, storing):
    started = driving.send(session, "[[tokens=30 delay_ms=5]]")
    driving.wait_for(lambda: driving.text_of(session))
    execution = ringing._running[started.run_id]
    storing.clear()
    waiting = execution.buffer
    driving.wait_for(lambda: [e for e in waiting._entries if e.event.type == "run.finished"])
    async_to_sync(broadcast.cancel)(started.run_id, "requested")
    time.sleep(0.2)
    storing.set()
    driving.wait_for_status(started.run_id, "finished", "cancelled", timeout_s=5)
    driving.wait_for(lambda: not ringing._running)
    invariants.check_session(session)


def test_a_run_whose_end_could_not_be_stored_is_ended_by_the_reaper(
    monkeypatch, session, request, transactional_db
):
    monkeypatch.setattr("chat.worker.HEARTBEAT_S", 0.2)
    monkeypatch.setattr(leases, "LEASE", timedelta(seconds=1))
    ringing = request.getfixturevalue("ringing")
    end, calls = endings.end, []

    def end_second_time(run, terminal):
        calls.append(terminal)
        if len(calls) == 1:
            raise RuntimeError("the end is not stored")
        end(run, terminal)

    monkeypatch.setattr(endings, "end", end_second_time)
    started = driving.send(session, SHORT)
    driving.wait_for(lambda: calls and not ringing._running)
    run = driving.wait_for_status(started.run_id, "failed", timeout_s=6)
    assert run.error_code == "worker_lost"
    invariants.check_session(session)


def test_a_run_of_another_is_none(alice, charlie, session):
    run_id = str(driving.send(session, SHORT).run_id)
    assert runs.get_for(alice, run_id).pk == uuid.UUID(run_id)
    with pytest.raises(runs.UnknownRun):
        runs.get_for(charlie, run_id)


@pytest.mark.parametrize("run_id", ["", "0", "-1", "x" * 10_000, str(uuid.UUID(int=0)), "a\0b"])
def test_what_is_no_run_is_none(alice, session, run_id):
    with pytest.raises(runs.UnknownRun):
        runs.get_for(alice, run_id)
    with pytest.raises(runs.UnknownRun):
        runs.get_in(session, run_id)


def test_a_cancelled_queued_run_is_never_executed(worker, session):
    started = driving.send(session, SHORT)
    driving.cancel(started.run_id)
    worker.execute(started.run_id)
    assert Run.objects.get().status == "cancelled"
    assert [e.type for e in driving.log_of(session)][-1] == "run.cancelled"
    invariants.check_session(session)


def test_a_cancel_of_a_run_that_has_ended_changes_nothing(worker, session):
    started = driving.send(session, SHORT)
    worker.execute(started.run_id)
    before = Run.objects.values().get()
    driving.cancel(started.run_id)
    driving.cancel(started.run_id, "interrupted")
    assert Run.objects.values().get() == before
    invariants.check_session(session)


def test_a_cancel_races_with_the_claim_and_there_is_one_end(ringing, session):
    for _ in range(10):
        started = driving.send(session, LONG)
        driving.cancel(started.run_id)
        driving.wait_for_status(started.run_id, "cancelled", timeout_s=6)
    driving.wait_for(lambda: not ringing._running)
    invariants.check_session(session)


def test_a_message_to_a_deleted_session_is_refused_as_for_an_unknown_one(alice, session, redis):
    stale = ChatSession.objects.get(pk=session.pk)
    sessions.delete(session)
    with pytest.raises(sessions.UnknownSession):
        driving.send(stale, "Hi")
    assert not Message.objects.exists()


def test_runs_that_wait_behind_a_cancelled_one_are_rung_for(session, redis, monkeypatch):
    """The first was heard of and is not claimed yet; nobody else would ring for the second."""
    rung = []
    monkeypatch.setattr(doorbell, "ring", rung.append)
    first = driving.send(session, SHORT)
    second = driving.send(session, SHORT, if_running="enqueue")
    rung.clear()
    driving.cancel(first.run_id)
    assert rung == [second.run_id]


def test_G15_a_user_has_active_runs_in_five_sessions_at_most(alice, redis):
    many = [sessions.create(alice)[0] for _ in range(6)]
    for session in many[:5]:
        driving.send(session, SHORT)
    with pytest.raises(runs.TooManyActive):
        driving.send(many[5], SHORT)
    # In a session that has one it may wait.
    driving.send(many[0], SHORT, if_running="enqueue")
    driving.cancel(many[4].runs.get().pk)
    driving.send(many[5], SHORT)


def test_what_was_rolled_back_stays_so_whatever_is_asked_for_later(session, redis):
    first = driving.send(session, SHORT)
    leases.claim(first.run_id, worker="w")
    driving.send(session, SHORT, if_running="rollback")
    driving.cancel(first.run_id)
    assert Run.objects.get(pk=first.run_id).cancel_reason == "rolled_back"


def fail(run_id):
    with transaction.atomic():
        run = runs.lock(run_id)
        endings.end_unexecuted(run, events.RunFailed(code="x", message="x"))
    return Run.objects.get(pk=run_id)


def retry(run, **more):
    return async_to_sync(runs.retry)(run, model="scripted:demo", **more)


def test_R_6_the_key_of_a_message_is_no_key_for_asking_it_again(session, redis):
    first = fail(driving.send(session, "Hi", idempotency_key="k").run_id)
    with pytest.raises(runs.KeyReused):
        retry(first, idempotency_key="k")


def test_what_is_asked_again_twice_is_told_to_the_model_once(session, redis):
    first = fail(driving.send(session, "Hi").run_id)
    fail(retry(first).run_id)
    third = Run.objects.get(pk=retry(first).run_id)
    assert [m.run_id for m in sessions.history_of(third)] == [third.pk]


def test_what_was_answered_the_second_time_is_not_asked_again(session, ringing):
    first = fail(driving.send(session, SHORT).run_id)
    driving.wait_for_status(retry(first).run_id, "finished")
    with pytest.raises(runs.NotRetryable):
        retry(first)
