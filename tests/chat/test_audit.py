"""`manage.py audit`: says ok of what is right, and names what is wrong."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from chat.models import ChatSession, EventRecord, Message, Run
from costs import audit as costs_audit
from costs.models import ModelCall
from tests import driving, ledger_guard

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture(autouse=True)
def answered(worker, session, monkeypatch):
    """A session with an answer of each kind of part."""
    monkeypatch.setattr(costs_audit, "CHECK_AGAIN_AFTER_S", 0)
    worker.execute(driving.send(session, "What is 12.5% of 3,480?").run_id)
    return session


def run_audit():
    """Run the command; gives whether it ended well and what it printed."""
    out = StringIO()
    try:
        call_command("audit", stdout=out, stderr=StringIO())
    except SystemExit:
        return False, out.getvalue()
    return True, out.getvalue()


def execute(statement, *parameters):
    """Change what no code of ours would change, and the database would refuse."""
    with ledger_guard.off(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def lose_an_event():
    execute("DELETE FROM chat_eventrecord WHERE seq = 4")


def change_the_answer():
    Message.objects.filter(role="assistant").update(parts=[{"type": "text", "text": "43"}])


def change_a_delta():
    execute(
        "UPDATE chat_eventrecord SET body = REPLACE(body, '435', '436') WHERE type = 'text.delta'"
    )


def lose_the_question():
    Message.objects.filter(role="user").delete()


def lose_the_end():
    execute("DELETE FROM chat_eventrecord WHERE type = 'run.finished'")
    ChatSession.objects.update(last_seq=EventRecord.objects.count())


def call_it_cancelled():
    Run.objects.update(status="cancelled")


def write_for_a_former_attempt():
    execute("UPDATE chat_eventrecord SET attempt = 3 WHERE seq = 5")


def write_for_another_run():
    execute("UPDATE chat_eventrecord SET run_id = %s WHERE seq = 5", "0" * 32)


def keep_a_call_open():
    ModelCall.objects.update(status="open", ended_at=None)


def cut_the_answer():
    ModelCall.objects.update(status="truncated")


def charge_more():
    execute("UPDATE costs_ledgerentry SET amount_pico = amount_pico + 1")


def lose_a_charge():
    execute("DELETE FROM costs_ledgerentry WHERE token_class = 'output'")


def lose_a_call():
    execute("DELETE FROM costs_modelcall")


def be_forgotten():
    Run.objects.update(
        status="running",
        ended_at=None,
        created_at=timezone.now() - timedelta(hours=3),
        started_at=timezone.now() - timedelta(hours=2),
        lease_expires_at=timezone.now() - timedelta(hours=1),
    )
    ChatSession.objects.update(created_at=timezone.now() - timedelta(hours=3))


def test_a_good_database_is_ok():
    assert run_audit() == (True, "ok\n")


@pytest.mark.parametrize(
    ("damage", "invariant"),
    [
        (lose_an_event, "L2"),
        (write_for_a_former_attempt, "L3"),
        (write_for_another_run, "L4"),
        (be_forgotten, "R1"),
        (lose_the_end, "R2"),
        (call_it_cancelled, "R2"),
        (lose_the_question, "A3"),
        (change_the_answer, "T1"),
        (change_a_delta, "T1"),
        (cut_the_answer, "T2"),
        (keep_a_call_open, "M2"),
        (lose_a_call, "M2"),
        (lose_a_charge, "M3"),
        (charge_more, "M6"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_is_wrong_is_named(damage, invariant):
    damage()
    is_good, printed = run_audit()
    assert not is_good
    assert any(line.startswith(f"{invariant} ") for line in printed.splitlines()), printed


def test_a_run_that_goes_on_is_no_violation(session):
    driving.send(session, "not executed yet")
    assert run_audit() == (True, "ok\n")


def test_what_a_second_look_does_not_confirm_is_not_told(monkeypatch):
    lost = EventRecord.objects.get(seq=4)

    def come_back(_seconds):
        EventRecord.objects.bulk_create([lost])

    monkeypatch.setattr(costs_audit.time, "sleep", come_back)
    lose_an_event()
    assert run_audit() == (True, "ok\n")
