"""What is left when workers die, and runs under random failures."""

import asyncio
import contextlib
import threading
import time
from concurrent.futures import CancelledError
from datetime import timedelta

import pytest
from django.db import OperationalError, transaction
from django.db.models import F
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat import broadcast, endings, event_log, events, leases, recovery, sessions
from chat.models import ChatSession, EventRecord, Message, Run
from chat.worker import Worker
from costs import ledger
from tests import driving, invariants

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def expire_leases():
    Run.objects.filter(status="running").update(
        lease_expires_at=timezone.now() - timedelta(seconds=1)
    )


def die_in_the_middle(session, text, *, after_characters):
    """Execute a run on a worker that is gone after so much text; gives the run's id."""
    worker = Worker(concurrency=5)
    worker.start()
    started = driving.send(session, text)
    thread = threading.Thread(target=_execute_until_death, args=(worker, started.run_id))
    thread.start()
    driving.wait_for(lambda: len(driving.text_of(session)) >= after_characters)
    worker.close()
    thread.join()
    return started.run_id


def _execute_until_death(worker, run_id):
    with contextlib.suppress(CancelledError):
        worker.execute(run_id)


def test_a_call_that_has_shown_nothing_is_not_charged_what_an_earlier_one_had_guessed(session):
    run = Run.objects.get(pk=driving.send(session, "Hi").run_id)
    said = events.TextDelta(message_id="m", part=0, delta="Let me see", tokens=9)
    opened = [
        events.ModelCallStarted(call_id=str(number), provider="p", model="m") for number in (1, 2)
    ]
    with transaction.atomic():
        place = endings.place_of(run)
        event_log.append_now(place, opened[0], said)
        assert event_log.shown_tokens(run.pk) == 9
        event_log.append_now(place, opened[1])
        assert event_log.shown_tokens(run.pk) == 0


def test_a_run_with_output_ends_failed_with_the_text_it_had_shown(session, redis):
    run_id = die_in_the_middle(session, "[[tokens=500 delay_ms=5]]", after_characters=30)
    shown = driving.text_of(session)
    expire_leases()
    assert recovery.dead() == [run_id]
    recovery.end_dead(run_id)
    run = Run.objects.get()
    assert (run.status, run.error_code) == ("failed", "worker_lost")
    assert Message.objects.get(role="assistant").parts == [{"type": "text", "text": shown}]
    total = ledger.total_of_run(run_id)
    assert total.completion_tokens >= len(shown.split())
    assert total.prompt_tokens > 0
    assert total.is_estimated
    invariants.check_session(session)


def test_ending_a_dead_run_twice_ends_it_once(session, redis):
    run_id = die_in_the_middle(session, "[[tokens=500 delay_ms=5]]", after_characters=5)
    expire_leases()
    assert recovery.end_dead(run_id)[1]
    assert not recovery.end_dead(run_id)[1]
    invariants.check_session(session)


def test_a_living_run_is_not_ended(session, worker):
    started = driving.send(session, "[[tokens=50 delay_ms=5]]")
    thread = threading.Thread(target=worker.execute, args=(started.run_id,))
    thread.start()
    driving.wait_for_status(started.run_id, "running")
    assert not recovery.end_dead(started.run_id)[1]
    thread.join()
    assert Run.objects.get().status == "finished"


def test_a_cancelled_run_of_a_dead_worker_ends_cancelled(session, redis):
    run_id = die_in_the_middle(session, "[[tokens=500 delay_ms=5]]", after_characters=5)
    driving.cancel(run_id)
    expire_leases()
    recovery.end_dead(run_id)
    assert Run.objects.get().status == "cancelled"
    invariants.check_session(session)


def test_a_run_that_was_handed_over_keeps_its_text_when_it_is_cancelled(session, redis):
    worker = Worker(concurrency=5)
    worker.start()
    started = driving.send(session, "[[tokens=500 delay_ms=5]]")
    thread = threading.Thread(target=worker.execute, args=(started.run_id,))
    thread.start()
    driving.wait_for(lambda: len(driving.text_of(session)) > 30)
    worker.shut_down()
    driving.wait_for_status(started.run_id, "queued")
    thread.join()
    worker.close()
    shown = driving.text_of(session)
    driving.cancel(started.run_id)
    assert Run.objects.get().status == "cancelled"
    assert Message.objects.get(role="assistant").parts == [{"type": "text", "text": shown}]
    invariants.check_session(session)


def test_an_attempt_that_said_nothing_does_not_take_the_text_of_the_one_before(session, redis):
    run_id = die_in_the_middle(session, "[[tokens=500 delay_ms=5]]", after_characters=30)
    shown = driving.text_of(session)
    # Handed over, claimed, and dead again at once.
    Run.objects.update(attempt=3, has_effects=False)
    expire_leases()
    recovery.end_dead(run_id)
    assert Message.objects.get(role="assistant").parts == [{"type": "text", "text": shown}]
    invariants.check_session(session)


def test_a_run_with_events_of_a_newer_version_is_ended(session, redis):
    run_id = die_in_the_middle(session, "[[tokens=500 delay_ms=5]]", after_characters=5)
    add_unknown_event(session, run_id)
    expire_leases()
    recovery.end_dead(run_id)
    assert Run.objects.get().status == "failed"


def add_unknown_event(session, run_id):
    session.refresh_from_db()
    unknown = {"type": "text.annotated", "body": '{"type":"text.annotated"}'}
    EventRecord.objects.create(
        session=session,
        seq=session.last_seq + 1,
        run_id=run_id,
        attempt=1,
        at=timezone.now(),
        **unknown,
    )
    ChatSession.objects.update(last_seq=F("last_seq") + 1)


def test_a_run_that_cannot_be_ended_does_not_keep_the_reaper_from_the_others(
    session, alice, redis, monkeypatch
):
    die_in_the_middle(session, "[[tokens=500 delay_ms=5]]", after_characters=5)
    expire_leases()
    monkeypatch.setattr(recovery.endings, "_closing_events", lambda *_, **__: 1 / 0)
    other, _ = sessions.create(alice, model="scripted:demo")
    started = driving.send(other, "[[tokens=2 delay_ms=0]]")
    Run.objects.filter(pk=started.run_id).update(created_at=timezone.now() - timedelta(seconds=30))
    worker = Worker(concurrency=10)
    worker.start()
    driving.wait_for_status(started.run_id, "finished")
    worker.close()


def test_runs_that_have_to_wait_take_no_place_of_the_reaper(session, alice, redis):
    first = driving.send(session, "busy")
    leases.claim(first.run_id, worker="somebody")
    for n in range(5):
        driving.send(session, f"waiting {n}", if_running="enqueue")
    Run.objects.filter(status="queued").update(created_at=timezone.now() - timedelta(seconds=60))
    assert recovery.unclaimed() == []


def test_a_run_that_is_handed_back_while_it_is_cancelled_ends_cancelled(session, worker):
    started = driving.send(session, "[[tokens=2]]")
    Run.objects.update(cancel_requested_at=timezone.now(), cancel_reason="requested")
    driving.wait_for_status(started.run_id, "cancelled")
    invariants.check_session(session)


def test_the_reaper_finds_what_the_bell_did_not_reach(session, worker):
    started = driving.send(session, "[[tokens=3 delay_ms=0]]")
    Run.objects.update(created_at=timezone.now() - timedelta(seconds=10))
    driving.wait_for_status(started.run_id, "finished", timeout_s=5)
    invariants.check_session(session)


def test_the_reaper_works_without_redis(session, worker, redis):
    redis.kill()
    started = driving.send(session, "[[tokens=3 delay_ms=0]]")
    Run.objects.update(created_at=timezone.now() - timedelta(seconds=10))
    driving.wait_for_status(started.run_id, "finished", timeout_s=8)
    invariants.check_session(session)


FAILURES = st.one_of(
    st.none(),
    st.tuples(
        st.sampled_from(["interrupted", "truncated", "timeout", "refused", "secret"]),
        st.integers(0, 12),
    ),
)


@given(
    tokens=st.integers(1, 12),
    tool=st.booleans(),
    failure=FAILURES,
    cancel_after_ms=st.none() | st.integers(0, 60),
    die_after_ms=st.none() | st.integers(0, 60),
    second=st.sampled_from([None, "enqueue", "interrupt", "rollback"]),
)
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_fails_the_invariants_hold(
    alice, redis, worker, tokens, tool, failure, cancel_after_ms, die_after_ms, second
):
    session, _ = sessions.create(alice, model="scripted:demo")
    script = f"tokens={tokens} delay_ms=4"
    if tool:
        script += ' tool=calculator args={"expression":"6*7"}'
    if failure:
        script += f" fail={failure[0]} fail_after={failure[1]}"
    first = Worker(concurrency=5)
    first.start()
    started = driving.send(session, f"[[{script}]]")
    thread = threading.Thread(target=_execute_until_death, args=(first, started.run_id))
    thread.start()
    if second:
        driving.send(session, "[[tokens=2 delay_ms=0]]", if_running=second)
    if cancel_after_ms is not None:
        time.sleep(cancel_after_ms / 1000)
        driving.cancel(started.run_id)
    if die_after_ms is not None:
        time.sleep(die_after_ms / 1000)
    else:
        thread.join()
    first.close()
    thread.join()
    driving.wait_for(lambda: _recovered(session, worker), timeout_s=20)
    invariants.check_session(session)


def _recovered(session, worker):
    expire_leases_of_others(worker)
    Run.objects.filter(status="queued").update(created_at=timezone.now() - timedelta(seconds=10))
    return not session.runs.filter(status__in=Run.ACTIVE).exists()


def expire_leases_of_others(worker):
    Run.objects.filter(status="running").exclude(worker=worker.name).update(
        lease_expires_at=timezone.now() - timedelta(seconds=1)
    )


def test_R5f_a_redis_that_evicts_is_warned_of(redis, caplog):
    redis.configure("maxmemory-policy", "allkeys-lru")
    asyncio.run(broadcast.warn_of_eviction())
    redis.configure("maxmemory-policy", "noeviction")
    asyncio.run(broadcast.warn_of_eviction())
    assert [r.getMessage() for r in caplog.records] == [
        "Redis evicts keys (maxmemory-policy allkeys-lru); set noeviction"
    ]


def test_P1_after_an_outage_leases_can_be_renewed_before_anybody_reaps(session, redis, monkeypatch):
    monkeypatch.setattr("chat.worker.REAP_AFTER_OUTAGE_S", 1.0)
    monkeypatch.setattr("chat.worker.REAP_EVERY_S", 0.05)
    run_id = die_in_the_middle(session, "[[tokens=500 delay_ms=5]]", after_characters=5)
    expire_leases()
    dead, is_away = recovery.dead, threading.Event()
    is_away.set()

    def find_dead():
        if is_away.is_set():
            raise OperationalError("the database is away")
        return dead()

    monkeypatch.setattr(recovery, "dead", find_dead)
    worker = Worker(concurrency=5)
    worker.start()
    time.sleep(0.5)
    is_away.clear()
    time.sleep(0.6)
    assert Run.objects.get().status == "running"
    driving.wait_for_status(run_id, "failed")
    worker.close()
