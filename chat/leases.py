"""Who executes a run: claim, heartbeat, release. Only the database's clock decides.

Lock order everywhere: first the session's row, then the run's.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, connection, transaction
from django.db.models import DateTimeField, Exists, ExpressionWrapper, F, OuterRef, Q, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Now

from chat import database
from chat.event_log import Place
from chat.models import Run

LEASE = timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to execute one attempt of a run, as long as the lease is kept alive."""

    place: Place
    owner_key: str
    ledger_key: str
    api_key: str
    model: str
    options: dict[str, float]


def claim(run_id: uuid.UUID, *, worker: str) -> Claim | None:
    """Take the run if it is queued and next in its session, or if its worker's lease ran out.

    One conditional UPDATE decides between any number of workers; None means somebody else has it.
    """
    free = Q(status=Run.Status.QUEUED) | Q(
        status=Run.Status.RUNNING, lease_expires_at__lt=Now(), has_effects=False
    )
    wanted = Run.objects.filter(
        free,
        is_next(),
        pk=run_id,
        attempt__lt=Run.MAX_ATTEMPTS,
        cancel_requested_at__isnull=True,
    )
    try:
        with transaction.atomic():
            taken = wanted.update(
                status=Run.Status.RUNNING,
                worker=worker,
                attempt=F("attempt") + 1,
                lease_expires_at=_expiry(),
                started_at=Coalesce("started_at", Now()),
            )
    except IntegrityError:
        # Two runs of one session were claimed at once; the constraint let the other one through.
        return None
    return _claimed(run_id) if taken else None


def is_next() -> Q:
    """The condition of a run that no other one of its session is before."""
    earlier = Run.objects.filter(
        session=OuterRef("session"), status__in=Run.ACTIVE, queued_seq__lt=OuterRef("queued_seq")
    )
    return ~Q(Exists(earlier))


def still_held(places: Sequence[Place], *, worker: str) -> set[uuid.UUID]:
    """The fence: which of these runs this worker may still write for.

    Locks the rows until the end of the transaction, so that nobody can take one meanwhile.
    """
    # By hand: the ORM would take ten times as long, in every transaction of every run.
    parameters = [database.uuid_parameter(place.run_id) for place in places]
    with connection.cursor() as cursor:
        if connection.features.has_select_for_update:
            sessions = sorted({place.session_pk for place in places})
            cursor.execute(_select("id", "chat_chatsession", sessions), sessions)
        statement = _select("id, attempt", "chat_run", parameters, worker=True)
        cursor.execute(statement, [*parameters, worker])
        held = {database.uuid_of(pk): attempt for pk, attempt in cursor.fetchall()}
    return {place.run_id for place in places if held.get(place.run_id) == place.attempt}


def _select(columns: str, table: str, keys: Sequence[object], *, worker: bool = False) -> str:
    """Write the statement that locks these rows in the order of their keys."""
    ours = "AND worker = %s AND status = 'running'" if worker else ""
    lock = "FOR UPDATE" if connection.features.has_select_for_update else ""
    places = ", ".join("%s" for _ in keys)
    return f"SELECT {columns} FROM {table} WHERE id IN ({places}) {ours} ORDER BY id {lock}"  # noqa: S608  # nosec B608


def beat(run_ids: Sequence[uuid.UUID], *, worker: str) -> dict[uuid.UUID, str | None]:
    """Renew a worker's leases of these runs; says which it has and why one is to stop, if it is.

    Only what is really being executed is renewed: a run that got lost in its worker is found.
    """
    mine = Run.objects.filter(pk__in=run_ids, worker=worker, status=Run.Status.RUNNING)
    with transaction.atomic():
        # In the order in which everybody locks runs.
        locked = mine.order_by("pk").select_for_update()
        rows = list(locked.values_list("pk", "cancel_requested_at", "cancel_reason"))
        mine.update(lease_expires_at=_expiry())
    return {pk: (reason if requested_at else None) for pk, requested_at, reason in rows}


def release(run_id: uuid.UUID) -> None:
    """Hand a run back, for any worker to take at once. To be called by who holds its lease."""
    Run.objects.filter(pk=run_id, status=Run.Status.RUNNING).update(
        status=Run.Status.QUEUED, worker="", lease_expires_at=None, has_effects=False
    )


def expired() -> Q:
    """The condition of a run whose worker has not been heard of."""
    return Q(status=Run.Status.RUNNING, lease_expires_at__lt=Now())


def _expiry() -> Combinable:
    return ExpressionWrapper(Now() + Value(LEASE), output_field=DateTimeField())


def _claimed(run_id: uuid.UUID) -> Claim:
    run = Run.objects.select_related("session").get(pk=run_id)
    return Claim(
        place=Place(
            session_pk=run.session.pk,
            session_id=run.session.session_id,
            run_id=run.pk,
            attempt=run.attempt,
        ),
        owner_key=run.session.owner_key,
        ledger_key=run.session.ledger_key,
        api_key=run.api_key,
        model=run.model,
        options=run.options,
    )


def ago(seconds: float) -> Combinable:
    """A moment in the past by the database's clock."""
    return ExpressionWrapper(
        Now() - Value(timedelta(seconds=seconds)), output_field=DateTimeField()
    )
