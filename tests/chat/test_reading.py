"""Snapshots: what a client that begins anew is given is neither too little nor too much."""

import json
import threading

import pytest

from chat import event_log, reading, sessions
from chat.positions import Position
from tests import driving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

LOST = Position(10**9)


def begin(alice, session):
    found = sessions.get_for(alice, session.session_id)
    return reading.begin(found, wanted=LOST, tells_caught_up=False)


def told(begun, up_to):
    """The messages that a client knows after a snapshot and the stream that follows it."""
    known = {m["message_id"]: (m["role"], m["parts"]) for m in begun.snapshot["messages"]}
    log = event_log.read(
        session_pk=begun.session.pk,
        session_id=begun.session.session_id,
        after=begun.after,
        limit=10**6,
    )
    for envelope in log:
        if envelope.type == "message.completed" and envelope.seq <= up_to:
            event = json.loads(envelope.body)
            assert event["message_id"] not in known, "told twice"
            known[event["message_id"]] = (event["role"], event["parts"])
    return known


def test_T5_a_snapshot_and_the_events_after_it_are_the_later_snapshot(worker, session, alice):
    snapshots = []
    runs = [
        driving.send(session, f"[[text=Answer{n} delay_ms=5]]", if_running="enqueue")
        for n in range(6)
    ]
    is_over = threading.Event()

    def execute_all():
        for started in runs:
            worker.execute(started.run_id)
        is_over.set()

    thread = threading.Thread(target=execute_all)
    thread.start()
    while not is_over.is_set():
        snapshots.append(begin(alice, session))
    thread.join()
    last = begin(alice, session)
    final = {m["message_id"]: (m["role"], m["parts"]) for m in last.snapshot["messages"]}
    assert len(final) == 12
    assert len({begun.after for begun in snapshots}) > 1
    for begun in snapshots:
        assert told(begun, up_to=last.after) == final


def test_a_snapshot_has_the_newest_messages_and_says_where_older_ones_are(
    worker, session, alice, monkeypatch
):
    monkeypatch.setattr(reading, "SNAPSHOT_MESSAGES", 2)
    for n in range(3):
        worker.execute(driving.send(session, f"[[text=Answer{n} delay_ms=0]]").run_id)
    snapshot = begin(alice, session).snapshot
    assert [m["role"] for m in snapshot["messages"]] == ["user", "assistant"]
    assert snapshot["messages"][-1]["parts"] == [{"type": "text", "text": "Answer2"}]
    assert snapshot["next_before"] == snapshot["messages"][0]["seq"]
