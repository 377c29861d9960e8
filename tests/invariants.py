"""What must hold of every session, whatever happened to it (docs/architecture.md lists them)."""

from collections.abc import Sequence

from chat import event_log, events
from chat.events import Envelope, Event
from chat.models import ChatSession, Message, Run
from chat.parts import Part, TextPart, ToolCallPart, ToolResultPart, load
from costs.models import LedgerEntry, ModelCall
from costs.pricing import Price

STARTS = {
    "text.started": "text.ended",
    "reasoning.started": "reasoning.ended",
    "tool_call.started": "tool_call.ended",
}


def check_parts(said: Sequence[Event], parts: Sequence[Part]) -> None:
    """Every part that starts ends, before the next one starts, and is the sum of its deltas."""
    opened: dict[int, Event] = {}
    texts: dict[int, str] = {}
    for event in said:
        if event.type in STARTS:
            assert not opened, f"{event} starts while {opened} is open"
            opened[event.part] = event
            texts[event.part] = ""
        elif event.type in events.DELTA_TYPES:
            assert event.part in opened
            texts[event.part] += event.delta
        elif event.type in STARTS.values():
            assert STARTS[opened.pop(event.part).type] == event.type
    assert not opened, f"never ended: {opened}"
    for position, text in texts.items():
        part = parts[position]
        if not isinstance(part, ToolCallPart):
            assert part.text == text
    called = {part.tool_call_id for part in parts if isinstance(part, ToolCallPart)}
    answered = [part.tool_call_id for part in parts if isinstance(part, ToolResultPart)]
    assert called == set(answered)


def check_session(session: ChatSession) -> None:
    """Check every invariant of a session whose runs have all ended."""
    session.refresh_from_db()
    log = event_log.read(session_pk=session.pk, session_id=session.session_id, after=0, limit=10**6)
    assert [e.seq for e in log] == list(range(1, session.last_seq + 1))
    for run in session.runs.all():
        check_run(run, [e for e in log if e.run_id == str(run.pk)])
    assert {e.run_id for e in log} == {str(run.pk) for run in session.runs.all()}


def check_run(run: Run, log: Sequence[Envelope]) -> None:
    """Check the events, the messages and the charges of one run that has ended."""
    terminal = [e for e in log if e.is_terminal]
    assert len(terminal) == 1, f"{len(terminal)} terminal events in run {run.pk}"
    assert log[-1] is terminal[0]
    assert terminal[0].type == f"run.{run.status}"
    attempts = [e.attempt for e in log]
    assert attempts == sorted(attempts)
    _check_answer(run, [e for e in log if e.attempt == run.attempt])
    _check_charges(run, log)


def _check_answer(run: Run, log: Sequence[Envelope]) -> None:
    said = [e.event for e in log]
    completed = [
        e for e in said if isinstance(e, events.MessageCompleted) and e.role == "assistant"
    ]
    started = [e for e in said if isinstance(e, events.MessageStarted) and e.role == "assistant"]
    assert [e.message_id for e in started] == [e.message_id for e in completed]
    assert len(completed) <= 1
    stored = Message.objects.filter(run=run, role="assistant")
    assert [str(m.pk) for m in stored] == [e.message_id for e in completed]
    for message, event in zip(stored, completed, strict=True):
        assert load(message.parts) == event.parts
        check_parts(said, event.parts)
        text = "".join(e.delta for e in said if isinstance(e, events.TextDelta))
        assert text == "".join(p.text for p in event.parts if isinstance(p, TextPart))


def _check_charges(run: Run, log: Sequence[Envelope]) -> None:
    calls = ModelCall.objects.filter(run_id=run.pk)
    assert not calls.filter(status="open").exists()
    for call in calls:
        entries = LedgerEntry.objects.filter(call_id=call.pk)
        charged = {e.token_class: e.quantity for e in entries}
        assert charged == call.usage_by_class
        price = Price.from_snapshot(call.price) if call.price else None
        for entry in entries.filter(kind="charge"):
            assert price is not None
            rate = price.rate_pico(entry.token_class, prompt_tokens=call.prompt_tokens)
            assert entry.rate_pico_per_m == rate
    told = {e.event.call_id: e.event for e in log if e.type == "model_call.finished"}
    for call in calls.exclude(status="abandoned"):
        assert told[str(call.pk)].usage == call.usage_by_class
    _check_live_cost([e.event for e in log])


def _check_live_cost(said: Sequence[Event]) -> None:
    """The cost told never falls within a call, only when the call is reconciled."""
    from decimal import Decimal

    last = Decimal(0)
    for event in said:
        if isinstance(event, events.ModelCallFinished):
            last = Decimal(0)
        cost = getattr(event, "cost", None) if event.type in events.DELTA_TYPES else None
        if cost is not None:
            assert Decimal(cost) >= last
            last = Decimal(cost)
