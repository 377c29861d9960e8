"""What becomes of runs that nobody executes: never heard of, or left by a dead worker."""

import uuid
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Q

from chat import draft, event_log, events, leases, runs
from chat.events import Envelope
from chat.models import Run

#: A queued run that no worker has claimed for so long was not heard of.
UNHEARD_S = 3.0


def unclaimed() -> list[uuid.UUID]:
    """Runs that some worker should claim now: never heard of, or left by a dead worker."""
    unheard = Q(status=Run.Status.QUEUED, created_at__lt=leases.ago(UNHEARD_S))
    left = leases.expired() & Q(has_effects=False, attempt__lt=Run.MAX_ATTEMPTS)
    found = Run.objects.filter(unheard | left, cancel_requested_at__isnull=True)
    return list(found.order_by("created_at").values_list("pk", flat=True)[:100])


def dead() -> list[uuid.UUID]:
    """Runs of dead workers that cannot be tried again and have to be ended."""
    return list(Run.objects.filter(_hopeless()).values_list("pk", flat=True)[:100])


@transaction.atomic
def end_dead(run_id: uuid.UUID) -> tuple[int, list[Envelope]]:
    """End the run of a dead worker with the text it had shown, and charge what it had used.

    Gives the session's key and the events to publish; none when somebody else was first.
    """
    run = runs.lock(run_id)
    if not Run.objects.filter(_hopeless(), pk=run_id).exists():
        return run.session_id, []
    place = runs.place_of(run)
    happened = event_log.read_run(
        session_pk=place.session_pk, session_id=place.session_id, run_id=run_id
    )
    attempt = [e.event for e in happened if e.attempt == run.attempt]
    was_cancelled = run.cancel_requested_at is not None
    closing = _closing_events(attempt, stop_reason="cancelled" if was_cancelled else "failed")
    terminal: events.Terminal
    if was_cancelled:
        terminal = events.RunCancelled.model_validate({"reason": run.cancel_reason or "requested"})
    else:
        terminal = events.RunFailed(
            code="worker_lost", message="The worker was lost before the answer was complete."
        )
    stored = event_log.append_now(place, *closing, terminal)
    runs.store_message(run_id, stored)
    runs.end(run, terminal)
    return place.session_pk, stored


def _hopeless() -> Q:
    """The condition of a run that nobody executes and nobody may try again."""
    is_cancelled = Q(cancel_requested_at__isnull=False)
    cannot_repeat = Q(has_effects=True) | Q(attempt__gte=Run.MAX_ATTEMPTS) | is_cancelled
    # A queued one was handed back in the moment in which it was cancelled.
    return (leases.expired() & cannot_repeat) | (Q(status=Run.Status.QUEUED) & is_cancelled)


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
