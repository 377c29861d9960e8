"""Whether anybody waits for the answer of a run that was asked for in the manner of older systems.

Those stop a run when it takes too long, and when its client goes away. Clients also come back,
after a broken connection and perhaps to another instance, so a run is stopped only when nobody has
been there for a while. All of that is in the run's row: `left_at` is null while somebody is there,
and for all other runs.
"""

import uuid

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from chat import leases
from chat.models import Run

GRACE_S = 10.0


def attend(run_id: uuid.UUID) -> uuid.UUID:
    """Be there from now on, in place of whoever was; gives what `leave` wants."""
    attendant = uuid.uuid4()
    Run.objects.filter(pk=run_id).update(attendant=attendant, left_at=None)
    return attendant


def leave(run_id: uuid.UUID, attendant: uuid.UUID) -> None:
    """Be there no more, unless somebody else has come meanwhile or the run has ended."""
    Run.objects.filter(pk=run_id, attendant=attendant, status__in=Run.ACTIVE).update(left_at=Now())


def unattended() -> list[Run]:
    """The runs that are to be stopped because nobody has come back."""
    left = Q(status__in=Run.ACTIVE, left_at__lt=leases.ago(GRACE_S))
    return list(Run.objects.filter(left, cancel_requested_at__isnull=True)[:100])


def overdue() -> list[Run]:
    """The runs that are to be stopped because nobody has to wait for so long."""
    limit_s = settings.ENV.stream_timeout_s
    if not limit_s:
        return []
    is_attended = Q(attendant__isnull=False) | Q(left_at__isnull=False)
    # One by one, so that each uses the index of its status.
    is_active = Q(status=Run.Status.QUEUED) | Q(status=Run.Status.RUNNING)
    old = Run.objects.filter(is_active, is_attended, created_at__lt=leases.ago(limit_s))
    return list(old.filter(cancel_requested_at__isnull=True)[:100])
