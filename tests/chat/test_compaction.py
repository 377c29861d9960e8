"""Compaction: old events go, and with them nothing that anybody was told is there."""

import asyncio
from contextlib import aclosing
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from chat import compaction, database, event_log, hub, positions, reading, sessions
from chat.models import ChatSession, EventRecord, Message, Run
from chat.positions import Position
from costs import ledger
from costs.models import LedgerEntry
from tests import driving, invariants

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def answer(worker, session, text="[[tokens=3 delay_ms=0]]"):
    started = driving.send(session, text)
    worker.execute(started.run_id)
    return Run.objects.get(pk=started.run_id)


def age(run, *, hours):
    for field in ("created_at", "started_at", "ended_at"):
        at = timezone.now() - timedelta(hours=hours)
        Run.objects.filter(pk=run.pk).update(**{field: at})


def begin(session, alice, after):
    found = sessions.get_for(alice, session.session_id)
    return reading.begin(found, wanted=Position(after), tells_caught_up=False)


def test_events_of_old_runs_go_and_their_messages_and_costs_stay(worker, session, alice):
    old = answer(worker, session)
    young = answer(worker, session)
    age(old, hours=25)
    assert compaction.compact() == 1
    assert compaction.compact() == 0
    assert set(EventRecord.objects.values_list("run_id", flat=True)) == {young.pk}
    assert Message.objects.count() == 4
    assert ledger.total_of_run(old.pk).completion_tokens == 3
    session.refresh_from_db()
    assert session.floor_seq == young.queued_seq - 1
    invariants.check_session(session)


def test_G4_who_asks_for_what_is_gone_gets_the_messages_instead(worker, session, alice):
    age(answer(worker, session), hours=25)
    compaction.compact()
    session.refresh_from_db()
    told = begin(session, alice, after=3).snapshot
    assert (told["reason"], told["after"]) == ("expired", session.last_seq)
    assert [m["role"] for m in told["messages"]] == ["user", "assistant"]
    assert begin(session, alice, after=session.last_seq).snapshot is None


def test_a_run_that_has_not_ended_keeps_its_events(worker, session):
    old = answer(worker, session)
    driving.send(session, "not executed")
    age(old, hours=25)
    Run.objects.filter(status="queued").update(created_at=timezone.now() - timedelta(hours=50))
    compaction.compact()
    log = driving.log_of(session)
    assert [e.type for e in log] == ["run.queued", "message.started", "message.completed"]


def test_a_long_log_goes_in_pieces(worker, session, monkeypatch):
    monkeypatch.setattr(event_log, "ROWS_PER_DELETE", 2)
    age(answer(worker, session), hours=25)
    compaction.compact()
    assert not EventRecord.objects.exists()
    invariants.check_session(session)


def test_A_5_a_long_log_goes_in_pieces_with_its_session(worker, session, monkeypatch):
    monkeypatch.setattr(event_log, "ROWS_PER_DELETE", 2)
    answer(worker, session)
    sessions.delete(session)
    for model in (ChatSession, EventRecord, Message, Run):
        assert not model.objects.exists()
    assert LedgerEntry.objects.exists()


def test_P5_after_a_restore_positions_from_before_mean_nothing(worker, session, alice):
    answer(worker, session)
    before, costs = session.epoch, session.ledger_key
    call_command("renew_epochs")
    session = sessions.get_for(alice, session.session_id)
    assert session.epoch != before
    assert session.ledger_key == costs
    assert positions.start(session, wanted=Position(1, before)).reset == "epoch"


@pytest.mark.parametrize("tokens", [5, 300])
def test_a_reader_whose_events_go_while_it_reads_is_told_to_begin_anew(worker, session, tokens):
    age(answer(worker, session, f"[[tokens={tokens} delay_ms=3]]"), hours=25)
    young = answer(worker, session)

    async def read():
        place = {"session_pk": session.pk, "session_id": session.session_id}
        async with aclosing(hub.follow(**place, after=1)) as following:
            await database.write(compaction.compact)
            return [e.seq async for page in following for e in page]

    assert young.queued_seq > 3
    with pytest.raises(event_log.PositionLost):
        asyncio.run(asyncio.wait_for(read(), 10))
