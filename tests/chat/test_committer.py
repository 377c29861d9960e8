"""The committer: each event is stored once, whatever the database does meanwhile."""

import asyncio
import threading

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from chat import broadcast, committer, database, event_log, events, leases
from chat.models import Message, Run
from costs import ledger
from tests import driving, invariants

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


class FlakyDatabase:
    """Stands between the committer and the database, and fails as told."""

    def __init__(self, monkeypatch):
        self.lost_answers = 0
        self.loses_every_first_answer = False
        self.is_away = threading.Event()
        self._in_thread = database.in_thread
        monkeypatch.setattr(committer.database, "in_thread", self.in_thread)

    def in_thread(self, work, *args, **kwargs):
        if threading.current_thread().name.startswith("committer"):
            if self.is_away.is_set():
                raise OperationalError("the database is away")
            result = self._in_thread(work, *args, **kwargs)
            is_first = work.__name__ == "_store"
            if self.lost_answers or (self.loses_every_first_answer and is_first):
                self.lost_answers = max(self.lost_answers - 1, 0)
                raise OperationalError("the connection broke after the commit")
            return result
        return self._in_thread(work, *args, **kwargs)


@pytest.fixture
def flaky(monkeypatch):
    return FlakyDatabase(monkeypatch)


def in_background(worker, run_id):
    thread = threading.Thread(target=worker.execute, args=(run_id,))
    thread.start()
    return thread


@pytest.mark.parametrize("said_before", [False, True])
def test_P4_a_commit_whose_answer_is_lost_is_not_stored_twice(worker, session, flaky, said_before):
    if not said_before:
        flaky.lost_answers = 1
    started = driving.send(session, "[[tokens=30 delay_ms=20]]")
    thread = in_background(worker, started.run_id)
    driving.wait_for(lambda: driving.text_of(session))
    flaky.lost_answers += 3
    thread.join()
    assert flaky.lost_answers == 0
    assert Run.objects.get().status == "finished"
    assert len(ledger.calls_of_run(started.run_id)) == 1
    invariants.check_session(session)


def test_P4_an_end_whose_answer_is_lost_is_one_end(worker, session, flaky):
    flaky.loses_every_first_answer = True
    started = driving.send(session, "[[tokens=2 delay_ms=0]]")
    worker.execute(started.run_id)
    assert Run.objects.get().status == "finished"
    invariants.check_session(session)


def test_C3_what_readers_are_told_is_stored_by_then(worker, session, monkeypatch):
    told, too_early = [], []
    publish = broadcast.publish

    async def look_and_publish(*fresh):
        stored = {envelope.seq for envelope in await database.read(driving.log_of, session)}
        told.extend(envelope.seq for _, envelopes in fresh for envelope in envelopes)
        too_early.extend(seq for seq in told if seq not in stored)
        await publish(*fresh)

    monkeypatch.setattr(broadcast, "publish", look_and_publish)
    worker.execute(driving.send(session, "[[tokens=20 delay_ms=5]]").run_id)
    driving.wait_for(lambda: told[-1:] == [driving.log_of(session)[-1].seq])
    assert too_early == []


def test_Q1_a_short_outage_costs_no_event(worker, session, flaky):
    started = driving.send(session, "[[tokens=40 delay_ms=20]]")
    thread = in_background(worker, started.run_id)
    driving.wait_for(lambda: driving.text_of(session))
    flaky.is_away.set()
    threading.Event().wait(0.4)
    flaky.is_away.clear()
    thread.join()
    assert Run.objects.get().status == "finished"
    invariants.check_session(session)


def test_R7f_what_waits_for_a_slow_layer_goes_together(worker, session, monkeypatch):
    sizes = []

    async def publish_slowly(*fresh):
        sizes.append(sum(len(envelopes) for _, envelopes in fresh))
        await asyncio.sleep(0.3)

    monkeypatch.setattr(committer.broadcast, "publish", publish_slowly)
    started = driving.send(session, "[[tokens=40 delay_ms=20]]")
    worker.execute(started.run_id)
    driving.wait_for(lambda: sum(sizes) >= len(driving.log_of(session)) - 3)
    assert len(sizes) < 8


def test_P2_a_long_outage_fails_the_run_and_keeps_all_that_was_said(
    worker, session, flaky, monkeypatch
):
    monkeypatch.setattr(database, "PATIENCE_S", 0.3)
    started = driving.send(session, "[[tokens=2000 delay_ms=10]]")
    thread = in_background(worker, started.run_id)
    driving.wait_for(lambda: driving.text_of(session))
    flaky.is_away.set()
    threading.Event().wait(1.5)
    flaky.is_away.clear()
    thread.join()
    run = Run.objects.get()
    assert (run.status, run.error_code) == ("failed", "storage")
    (part,) = Message.objects.get(role="assistant").parts
    assert part["text"] == driving.text_of(session)
    invariants.check_session(session)


def test_P4_a_commit_that_is_still_under_way_is_waited_for(session, redis):
    """Its answer is lost while the server is still at it; only PostgreSQL can do two at once."""
    started = driving.send(session, "Hi")
    place = leases.claim(started.run_id, worker="w").place
    made = committer.Committer(worker="w")
    buffer = made.open(place)
    entries = [event_log.Entry(event=events.Progress(step=1), at=timezone.now())]
    batch = committer._Batch(buffer, entries, [], None)
    is_stored, may_commit = threading.Event(), threading.Event()

    def store():
        with transaction.atomic():
            made._store([batch])
            is_stored.set()
            may_commit.wait(10)
        connection.close()

    def store_again():
        made._store_unless_stored([batch])
        connection.close()

    first, second = threading.Thread(target=store), threading.Thread(target=store_again)
    first.start()
    is_stored.wait(5)
    second.start()
    threading.Event().wait(0.3)
    may_commit.set()
    first.join()
    second.join()
    assert [e.type for e in driving.log_of(session)].count("progress") == 1
