"""Checks what must hold of every session, whatever happened to it (docs/architecture.md)."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise

from django.utils import timezone

from chat import event_log, events, leases
from chat.events import Envelope, Event
from chat.models import ChatSession, EventRecord, Message, Run
from chat.parts import Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart, load
from costs import audit as costs_audit
from costs.audit import Violation
from costs.models import ModelCall

#: A run that is stuck for longer was forgotten: its lease and the reaper's patience are over.
STUCK_AFTER = leases.LEASE + timedelta(seconds=30)

_PARTS = {
    "text.started": "text.ended",
    "reasoning.started": "reasoning.ended",
    "tool_call.started": "tool_call.ended",
}
Found = Iterator[tuple[str, str]]


def violations() -> Iterator[Violation]:
    """Check all sessions, then the whole ledger."""
    for session in ChatSession.objects.order_by("pk").iterator():
        yield from of_session(session)
    yield from costs_audit.violations()


def of_session(session: ChatSession) -> list[Violation]:
    """Check one session; what a second look does not confirm was only being changed."""
    return costs_audit.confirmed(partial(_of_session, session.pk))


def _of_session(session_pk: int) -> Iterator[Violation]:
    session = ChatSession.objects.filter(pk=session_pk).first()
    if session is None:
        return
    runs = list(session.runs.order_by("queued_seq"))
    log = _log_of(session)
    for invariant, detail in _wrong_in_log(session, runs, log):
        yield Violation(invariant, f"session {session.session_id}", detail)
    ended_before = session.created_at
    for run in runs:
        happened = [e for e in log if e.run_id == str(run.pk)]
        for invariant, detail in _wrong_in_run(run, happened, ended_before):
            yield Violation(invariant, f"run {run.pk}", detail)
        ended_before = run.ended_at or timezone.now()


def _log_of(session: ChatSession) -> list[Envelope]:
    log: list[Envelope] = []
    after = session.floor_seq
    while page := event_log.read(
        session_pk=session.pk, session_id=session.session_id, after=after, limit=1000
    ):
        log += page
        after = page[-1].seq
    return [envelope for envelope in log if envelope.seq <= session.last_seq]


def _wrong_in_log(session: ChatSession, runs: Sequence[Run], log: Sequence[Envelope]) -> Found:
    expected = range(session.floor_seq + 1, session.last_seq + 1)
    if [envelope.seq for envelope in log] != list(expected):
        missing = sorted(set(expected) - {envelope.seq for envelope in log})
        yield "L2", f"its events are not 1, 2, 3 …: {len(log)} there, missing {missing[:5]}"
    beyond = EventRecord.objects.filter(session=session, seq__gt=session.last_seq)
    newest = ChatSession.objects.values_list("last_seq", flat=True).get(pk=session.pk)
    if newest == session.last_seq and beyond.exists():
        yield "L2", "there are events beyond its last one"
    if foreign := {envelope.run_id for envelope in log} - {str(run.pk) for run in runs}:
        yield "L4", f"events of runs that it does not have: {sorted(foreign)[:3]}"


def _wrong_in_run(run: Run, log: Sequence[Envelope], ended_before: datetime) -> Found:
    if Message.objects.filter(run=run, role=Message.Role.USER).count() != 1:
        yield "A3", "it does not have one user message"
    if any(late.attempt < early.attempt for early, late in pairwise(log)):
        yield "L3", "an attempt that was replaced has written again"
    times = [at for at in (run.created_at, run.started_at, run.ended_at) if at]
    if times != sorted(times) or run.attempt > Run.MAX_ATTEMPTS:
        yield "R5", f"its times or its attempts are impossible: {times}, {run.attempt}"
    if run.is_active:
        yield from _wrong_while_active(run, log, ended_before)
    else:
        yield from _wrong_at_end(run, log)


def _wrong_while_active(run: Run, log: Sequence[Envelope], ended_before: datetime) -> Found:
    if any(envelope.is_terminal for envelope in log):
        yield "R3", f"it is {run.status} and has a terminal event"
    since = max(t for t in (run.created_at, ended_before, run.lease_expires_at) if t)
    if timezone.now() - since > STUCK_AFTER:
        yield "R1", f"it is {run.status} since {since} and nobody executes it"


def _wrong_at_end(run: Run, log: Sequence[Envelope]) -> Found:
    open_calls = ModelCall.objects.filter(run_id=run.pk, status=ModelCall.Status.OPEN)
    if open_calls.exists():
        yield "M2", "it has ended with a model call open"
    if not log and run.queued_seq <= run.session.floor_seq:
        return  # its events were compacted
    ends = [envelope.type for envelope in log if envelope.is_terminal]
    if ends != [f"run.{run.status}"]:
        yield "R2", f"it is {run.status} and has the terminal events {ends}"
    elif not log[-1].is_terminal:
        yield "R4", f"{log[-1].type} follows its terminal event"
    shown = log[-1].attempt
    yield from _wrong_in_answer(run, [e for e in log if e.attempt == shown])
    yield from _wrong_in_costs(run.pk, log)


def _wrong_in_answer(run: Run, log: Sequence[Envelope]) -> Found:
    said = [envelope.event for envelope in log]
    completed = [
        e for e in said if isinstance(e, events.MessageCompleted) and e.role == "assistant"
    ]
    started = [e for e in said if isinstance(e, events.MessageStarted) and e.role == "assistant"]
    stored = list(Message.objects.filter(run=run, role=Message.Role.ASSISTANT))
    told = [e.message_id for e in completed]
    if [e.message_id for e in started] != told or len(told) > 1:
        yield "T3", f"{len(started)} answers started, {len(told)} completed"
    if [(str(m.pk), load(m.parts)) for m in stored] != [(e.message_id, e.parts) for e in completed]:
        yield "T1", "the stored answer is not the one that was told"
    for answer in completed:
        yield from wrong_in_parts(said, answer.parts)
    calls = ModelCall.objects.filter(run_id=run.pk, attempt=run.attempt)
    last = calls.order_by("started_at", "pk").last()
    if run.status == Run.Status.FINISHED and last and last.status != ModelCall.Status.COMPLETE:
        yield "T2", f"it is finished and its last call is {last.status}"


def wrong_in_parts(said: Sequence[Event], parts: Sequence[Part]) -> Found:
    """Compare an answer with the events of its attempt."""
    yield from _wrong_in_brackets(said)
    texts: dict[int, str] = {}
    for event in said:
        if isinstance(event, events.TextDelta | events.ReasoningDelta):
            texts[event.part] = texts.get(event.part, "") + event.delta
    written = {n: p.text for n, p in enumerate(parts) if isinstance(p, TextPart | ReasoningPart)}
    if texts != {n: text for n, text in written.items() if text}:
        yield "T1", "the answer is not the sum of its deltas"
    called = {p.tool_call_id for p in parts if isinstance(p, ToolCallPart)}
    if called != {p.tool_call_id for p in parts if isinstance(p, ToolResultPart)}:
        yield "T1", "a tool call has no result, or a result no call"


def _wrong_in_brackets(said: Sequence[Event]) -> Found:
    """Every part that starts ends before the next one starts."""
    opened = ""
    for event in said:
        if event.type in _PARTS:
            if opened:
                yield "T1", f"{event.type} comes before the end of {opened}"
            opened = event.type
        elif event.type in _PARTS.values():
            if _PARTS.get(opened) != event.type:
                yield "T1", f"{event.type} ends {opened or 'nothing'}"
            opened = ""
    if opened:
        yield "T1", f"{opened} never ended"


def _wrong_in_costs(run_id: uuid.UUID, log: Sequence[Envelope]) -> Found:
    ended = [e.event for e in log if e.type == "model_call.finished"]
    told = {e.call_id: e.usage for e in ended if isinstance(e, events.ModelCallFinished)}
    calls = ModelCall.objects.filter(run_id=run_id).exclude(status=ModelCall.Status.ABANDONED)
    # What a provider told later than the events is in the ledger alone.
    told |= {str(c.pk): c.usage_by_class for c in calls if "reconciled" in c.flags}
    if told != {str(call.pk): call.usage_by_class for call in calls}:
        yield "M5", "the usage that was told is not the one that was charged"
