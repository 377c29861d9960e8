"""Golden runs: what is in the log, the messages and the ledger after a run of each kind."""

import threading
import time

import pytest
from django.db import connection

from chat import leases
from chat.models import EventRecord, Message, Run
from costs import ledger
from tests import driving, invariants

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def execute(worker, session, text, **more):
    started = driving.send(session, text, **more)
    worker.execute(started.run_id)
    return Run.objects.get(pk=started.run_id)


def in_background(worker, run_id):
    thread = threading.Thread(target=worker.execute, args=(run_id,))
    thread.start()
    return thread


def test_a_plain_answer_tells_these_events_in_this_order(worker, session):
    run = execute(worker, session, "[[tokens=3 delay_ms=0]]")
    assert run.status == "finished"
    types = [e.type for e in driving.log_of(session)]
    merged = [t for i, t in enumerate(types) if t != "text.delta" or types[i - 1] != t]
    assert merged == [
        "run.queued",
        "message.started",
        "message.completed",
        "run.started",
        "message.started",
        "model_call.started",
        "cost.updated",
        "text.started",
        "text.delta",
        "text.ended",
        "cost.updated",
        "model_call.finished",
        "step.completed",
        "message.completed",
        "run.finished",
    ]
    assert driving.text_of(session) == "w0 w1 w2 "
    invariants.check_session(session)


def test_an_answer_with_a_tool_keeps_call_and_result_as_parts(worker, session):
    execute(worker, session, "What is 12.5% of 3,480?")
    parts = Message.objects.get(role="assistant").parts
    assert [part["type"] for part in parts] == ["tool_call", "tool_result", "text"]
    assert parts[0]["arguments"] == {"expression": "12.5 / 100 * 3480"}
    assert parts[1]["content"] == "435"
    assert "435" in parts[2]["text"]
    invariants.check_session(session)


def test_M_8_a_tool_that_fails_is_told_and_the_answer_goes_on(worker, session):
    run = execute(worker, session, '[[tool=calculator args={"expression":"1/0"} delay_ms=0]]')
    assert run.status == "finished"
    failed = [e.event for e in driving.log_of(session) if e.type == "tool.failed"]
    assert [e.error for e in failed] == ["Division by zero."]
    invariants.check_session(session)


def test_the_final_cost_is_the_provider_s_usage_times_the_price(worker, session):
    run = execute(worker, session, "[[tokens=50 delay_ms=0]]")
    call = ledger.calls_of_run(run.pk)[0]
    total = ledger.total_of_run(run.pk)
    assert total.amount_pico == call.prompt_tokens * 10**6 + 50 * 4 * 10**6
    told = [e.event for e in driving.log_of(session) if e.type == "cost.updated"][-1]
    assert (told.total, told.estimated) == (total.amount, False)


def test_a_failure_in_the_middle_keeps_the_text_and_charges_it(worker, session):
    run = execute(worker, session, "[[tokens=9 delay_ms=0 fail=interrupted fail_after=4]]")
    assert (run.status, run.error_code) == ("failed", "interrupted")
    message = Message.objects.get(role="assistant")
    assert message.parts == [{"type": "text", "text": "w0 w1 w2 w3 "}]
    assert message.stop_reason == "failed"
    total = ledger.total_of_run(run.pk)
    assert total.completion_tokens == 4
    assert total.is_estimated
    invariants.check_session(session)


def test_an_unexpected_error_tells_no_details(worker, session):
    run = execute(worker, session, "[[tokens=3 delay_ms=0 fail=secret fail_after=1]]")
    assert run.error_code == "internal"
    assert not EventRecord.objects.filter(body__contains="the script asked").exists()
    invariants.check_session(session)


def test_a_failure_before_the_first_token_is_tried_again_as_a_call_of_its_own(
    worker, session, monkeypatch
):
    monkeypatch.setattr("chat.agent.metered.FIRST_PAUSE_S", 0.01)
    run = execute(worker, session, "[[tokens=3 delay_ms=0 fail=unavailable fail_after=0]]")
    assert (run.status, run.error_code) == ("failed", "unavailable")
    calls = ledger.calls_of_run(run.pk)
    assert [call.status for call in calls] == ["failed"] * 4
    assert ledger.total_of_run(run.pk).amount is None
    invariants.check_session(session)


def test_what_cannot_succeed_is_not_tried_again(worker, session):
    run = execute(worker, session, "[[fail=refused delay_ms=0]]")
    assert len(ledger.calls_of_run(run.pk)) == 1
    assert run.error_code == "refused"


def test_a_model_that_is_not_here_fails_the_run_with_a_clear_error(worker, session):
    run = execute(worker, session, "Hi", model="openai:gpt-4o-mini")
    assert (run.status, run.error_code) == ("failed", "unknown_model")
    assert run.error_detail == "This model is not available here."
    invariants.check_session(session)


def test_a_cancel_stops_the_provider_keeps_the_text_and_charges_it(worker, session):
    started = driving.send(session, "[[tokens=1000 delay_ms=5]]")
    thread = in_background(worker, started.run_id)
    driving.wait_for(lambda: len(driving.text_of(session)) > 20)
    driving.cancel(started.run_id)
    run = driving.wait_for_status(started.run_id, "cancelled", timeout_s=1)
    thread.join()
    text = driving.text_of(session)
    assert run.cancel_reason == "requested"
    assert Message.objects.get(role="assistant").parts == [{"type": "text", "text": text}]
    total = ledger.total_of_run(run.pk)
    assert total.completion_tokens >= len(text.split())
    assert total.is_estimated
    invariants.check_session(session)


def test_a_cancel_is_heard_without_the_layer(worker, session, monkeypatch, redis):
    started = driving.send(session, "[[tokens=1000 delay_ms=5]]")
    thread = in_background(worker, started.run_id)
    driving.wait_for(lambda: driving.text_of(session))
    redis.kill()
    driving.cancel(started.run_id)
    driving.wait_for_status(started.run_id, "cancelled", timeout_s=5)
    thread.join()
    invariants.check_session(session)


@pytest.mark.parametrize("after_ms", range(0, 40, 4))
def test_a_cancel_at_the_very_end_leaves_one_terminal_event(worker, session, after_ms):
    started = driving.send(session, "[[tokens=3 delay_ms=5]]")
    thread = in_background(worker, started.run_id)
    driving.wait_for_status(started.run_id, "running")
    time.sleep(after_ms / 1000)
    driving.cancel(started.run_id)
    thread.join()
    assert Run.objects.get().status in ("finished", "cancelled")
    invariants.check_session(session)


def test_a_second_message_gets_the_history(worker, session):
    execute(worker, session, "[[tokens=2 delay_ms=0]] remember 17")
    execute(worker, session, "[[tokens=2 delay_ms=0]] and now?")
    calls = ledger.calls_of_run(Run.objects.latest("queued_seq").pk)
    first = ledger.calls_of_run(Run.objects.earliest("queued_seq").pk)
    assert calls[0].prompt_tokens > first[0].prompt_tokens
    invariants.check_session(session)


def test_the_database_refuses_a_second_running_run(session, db):
    from django.db import IntegrityError

    first = driving.send(session, "one")
    second = driving.send(session, "two", if_running="enqueue")
    assert leases.claim(first.run_id, worker="a")
    assert leases.claim(second.run_id, worker="b") is None
    with pytest.raises(IntegrityError):
        Run.objects.filter(pk=second.run_id).update(
            status="running", lease_expires_at="2030-01-01T00:00Z"
        )
    connection.close()
