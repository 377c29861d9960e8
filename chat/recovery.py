"""What becomes of runs that nobody executes: never heard of, or left by a dead worker."""

import uuid

from django.db import transaction
from django.db.models import Q

from chat import endings, events, leases, runs
from chat.events import Envelope
from chat.models import Run

#: A queued run that no worker has claimed for so long was not heard of.
UNHEARD_S = 3.0


def unclaimed() -> list[uuid.UUID]:
    """Runs that some worker should claim now: never heard of, or left by a dead worker."""
    unheard = Q(status=Run.Status.QUEUED, created_at__lt=leases.ago(UNHEARD_S))
    left = leases.expired() & Q(has_effects=False, attempt__lt=Run.MAX_ATTEMPTS)
    found = Run.objects.filter(unheard | left, leases.is_next(), cancel_requested_at__isnull=True)
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
    terminal: events.Terminal
    if run.cancel_requested_at is not None:
        terminal = events.RunCancelled.model_validate({"reason": run.cancel_reason or "requested"})
    else:
        terminal = events.RunFailed(
            code="worker_lost", message="The worker was lost before the answer was complete."
        )
    return run.session_id, endings.end_unexecuted(run, terminal)


def _hopeless() -> Q:
    """The condition of a run that nobody executes and nobody may try again."""
    is_cancelled = Q(cancel_requested_at__isnull=False)
    cannot_repeat = Q(has_effects=True) | Q(attempt__gte=Run.MAX_ATTEMPTS) | is_cancelled
    # A queued one was handed back in the moment in which it was cancelled.
    return (leases.expired() & cannot_repeat) | (Q(status=Run.Status.QUEUED) & is_cancelled)
