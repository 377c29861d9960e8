"""How a run ends: its row, its message, its charges; and its last words when nobody executes it.

All functions here are to be called inside a transaction.
"""

import uuid
from collections.abc import Sequence
from dataclasses import replace

from django.db.models.functions import Now

from chat import draft, event_log, events, leases, parts
from chat.event_log import Place
from chat.events import Envelope
from chat.models import Message, Run
from costs import ledger


def end(run: Run, terminal: events.Terminal, *, total_chunks: int | None = None) -> None:
    """Bring a run's row to the state that its terminal event says, and charge what is open."""
    abandon_calls(run.pk)
    values: dict[str, object] = {"status": Run.Status.FINISHED}
    match terminal:
        case events.RunFailed():
            values = {
                "status": Run.Status.FAILED,
                "error_code": terminal.code,
                "error_detail": terminal.message[:500],
            }
        case events.RunCancelled():
            values = {"status": Run.Status.CANCELLED}
            not_rolled_back = Run.objects.filter(pk=run.pk).exclude(cancel_reason="rolled_back")
            not_rolled_back.update(cancel_reason=terminal.reason)
    values |= {"total_chunks": total_chunks, "lease_expires_at": None, "ended_at": Now()}
    Run.objects.filter(pk=run.pk).update(**values)


def hand_back(run_id: uuid.UUID) -> None:
    """Leave a run to its next attempt. A call may have been opened in the very moment."""
    abandon_calls(run_id)
    leases.release(run_id)


def abandon_calls(run_id: uuid.UUID) -> None:
    """Close and charge what an attempt of the run has left open."""
    ledger.abandon_calls(run_id=run_id, shown=lambda: event_log.shown_tokens(run_id))


def store_message(run_id: uuid.UUID, stored: Sequence[Envelope]) -> None:
    """Keep the message that these events completed."""
    for envelope in stored:
        if envelope.type != "message.completed":
            continue
        completed = envelope.event
        if isinstance(completed, events.MessageCompleted):
            Message.objects.create(
                id=uuid.UUID(completed.message_id),
                session_id=Run.objects.values_list("session_id", flat=True).get(pk=run_id),
                run_id=run_id,
                role=completed.role,
                parts=parts.dump(completed.parts),
                stop_reason=completed.stop_reason,
                seq=envelope.seq,
            )


def end_unexecuted(run: Run, terminal: events.Terminal) -> list[Envelope]:
    """End a run that nobody executes, with the text that it has shown; gives what was stored.

    To be called with the run and its session locked.
    """
    place = place_of(run)
    happened = event_log.read_run(
        session_pk=place.session_pk, session_id=place.session_id, run_id=run.pk
    )
    # The attempt that was shown: a later one may have died before it said anything.
    shown = happened[-1].attempt
    attempt = [e.event for e in happened if e.attempt == shown and e.type in events.TYPES]
    reason: events.StopReason = (
        "cancelled" if isinstance(terminal, events.RunCancelled) else "failed"
    )
    closing = _closing_events(attempt, stop_reason=reason)
    stored = event_log.append_now(replace(place, attempt=shown), *closing, terminal)
    store_message(run.pk, stored)
    end(run, terminal)
    return stored


def place_of(run: Run) -> Place:
    """Where the events of a run go."""
    return Place(
        session_pk=run.session.pk,
        session_id=run.session.session_id,
        run_id=run.pk,
        attempt=run.attempt,
    )


def _closing_events(
    attempt: Sequence[events.Event], *, stop_reason: events.StopReason
) -> list[events.Event]:
    started = [e for e in attempt if isinstance(e, events.MessageStarted)]
    is_complete = any(
        isinstance(e, events.MessageCompleted) and e.role == "assistant" for e in attempt
    )
    started = [e for e in started if e.role == "assistant"]
    if not started or is_complete:
        return []
    answer = draft.replay(started[0].message_id, attempt)
    closing = list(answer.finish())
    return [
        *closing,
        events.MessageCompleted(
            message_id=answer.message_id,
            role="assistant",
            parts=answer.parts,
            stop_reason=stop_reason,
        ),
    ]
