"""Shortens logs: events of runs that ended long ago go, their messages and costs stay.

Whoever asks for what is gone gets a reset with a snapshot (chat/positions.py).
"""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from chat import event_log
from chat.models import ChatSession, Run

SESSIONS_PER_ROUND = 100


def compact() -> int:
    """Shorten some logs; gives how many. To be called again as long as there are any."""
    ended_before = timezone.now() - timedelta(hours=settings.ENV.event_retention_hours)
    old = Run.objects.filter(
        session=OuterRef("pk"), queued_seq__gt=OuterRef("floor_seq"), ended_at__lt=ended_before
    )
    young = Run.objects.filter(session=OuterRef("pk"), queued_seq=OuterRef("floor_seq") + 1)
    found = ChatSession.objects.filter(
        Exists(old), ~Exists(young.exclude(ended_at__lt=ended_before)), floor_seq__lt=F("last_seq")
    )
    session_pks = list(found.values_list("pk", flat=True)[:SESSIONS_PER_ROUND])
    for session_pk in session_pks:
        floor_seq = _raise_floor(session_pk, Q(ended_at__lt=ended_before))
        event_log.delete_below_floor(session_pk, floor_seq=floor_seq)
    return len(session_pks)


@transaction.atomic
def _raise_floor(session_pk: int, is_old: Q) -> int:
    """Move the start of the kept log to the first run that is still young."""
    session = ChatSession.objects.select_for_update().get(pk=session_pk)
    young = session.runs.exclude(is_old).order_by("queued_seq")
    first = young.values_list("queued_seq", flat=True).first()
    # All events of a run come after the one that queued it.
    session.floor_seq = session.last_seq if first is None else first - 1
    session.save(update_fields=["floor_seq"])
    return session.floor_seq
