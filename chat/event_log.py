"""The log of events: the only writer and reader of EventRecord.

`seq` is taken under the lock of the session's row, in the transaction that stores the events, so
that the order of commits is the order of `seq` and no number is skipped.
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import F, QuerySet, Sum, Window
from django.db.models.functions import Length
from django.utils import timezone

from chat import database
from chat.events import DELTA_TYPES, Envelope, Event
from chat.models import ChatSession, EventRecord, Run

#: A page of the log ends at either; one event alone may be longer.
PAGE_EVENTS = 128
PAGE_CHARACTERS = 16 * 1024
#: So few are cut into pages here; for the database to do it takes longer than to read them.
UNSIZED_EVENTS = 16
ROWS_PER_INSERT = 1000
#: Few enough not to keep others from writing.
ROWS_PER_DELETE = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a run's events go."""

    session_pk: int
    session_id: str
    run_id: uuid.UUID
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event that happened and is not in the log yet."""

    event: Event
    at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """Some events in order, and whether they reach the end of the log."""

    envelopes: list[Envelope]
    is_last: bool


class SessionGone(Exception):
    """The session was deleted."""

    def __str__(self) -> str:
        return "The session was deleted"


class PositionLost(Exception):
    """The log was shortened beyond the position."""


def append(batch: Sequence[tuple[Place, Sequence[Entry]]]) -> list[list[Envelope]]:
    """Store the events of several runs; gives their envelopes, run by run.

    To be called inside a transaction. Two runs of one session may stand in one batch.
    """
    counts: dict[int, int] = {}
    for place, entries in batch:
        counts[place.session_pk] = counts.get(place.session_pk, 0) + len(entries)
    next_seq = {pk: last - counts[pk] + 1 for pk, last in _take_seqs(counts).items()}
    stored: list[list[Envelope]] = []
    rows: list[tuple[Any, ...]] = []
    for place, entries in batch:
        first = next_seq[place.session_pk]
        next_seq[place.session_pk] = first + len(entries)
        envelopes = [_envelope(place, entry, first + n) for n, entry in enumerate(entries)]
        rows += [_row(place, entry, e) for entry, e in zip(entries, envelopes, strict=True)]
        stored.append(envelopes)
    _insert(rows)
    return stored


def append_now(place: Place, *events: Event) -> list[Envelope]:
    """Store events of one run that happen now. To be called inside a transaction."""
    now = timezone.now()
    return append([(place, [Entry(event=event, at=now) for event in events])])[0]


def read(*, session_pk: int, session_id: str, after: int, limit: int) -> list[Envelope]:
    """Read the events after `after` in order, at most `limit` of them."""
    records = EventRecord.objects.filter(session_id=session_pk, seq__gt=after).order_by("seq")
    return _envelopes(records[:limit], session_id)


def read_page(*, session_pk: int, session_id: str, after: int) -> Page:
    """Read some events after `after` in order. Raises SessionGone or PositionLost."""
    bounds = ChatSession.objects.filter(pk=session_pk).values_list("floor_seq", "last_seq").first()
    if bounds is None:
        raise SessionGone
    floor_seq, last_seq = bounds
    if after >= last_seq:
        return Page([], is_last=True)
    # No number is skipped, so the range of seq also bounds what the window runs over.
    records = EventRecord.objects.filter(
        session_id=session_pk, seq__gt=after, seq__lte=after + PAGE_EVENTS
    )
    if last_seq - after > UNSIZED_EVENTS:
        length = Length("body")
        sized = records.annotate(before=Window(Sum(length), order_by=F("seq").asc()) - length)
        records = sized.filter(before__lt=PAGE_CHARACTERS)
    envelopes = _first_page(_envelopes(records.order_by("seq"), session_id))
    if after < floor_seq or not envelopes or envelopes[0].seq != after + 1:
        raise PositionLost
    return Page(envelopes, is_last=envelopes[-1].seq >= last_seq)


def read_run(
    *,
    session_pk: int,
    session_id: str,
    run_id: uuid.UUID,
    after: int = 0,
    up_to: int | None = None,
) -> list[Envelope]:
    """Read the events of one run after `after` in order, all or with `up_to` as the last one."""
    records = EventRecord.objects.filter(session_id=session_pk, run_id=run_id, seq__gt=after)
    if up_to is not None:
        records = records.filter(seq__lte=up_to)
    return _envelopes(records.order_by("seq"), session_id)


def shown_tokens(run_id: uuid.UUID) -> int:
    """The output tokens that a run has shown, over all its attempts, as its last delta says.

    0 when its newest model call has shown nothing: what the last delta says is an estimate of an
    earlier call, which has been charged by what its provider counted.
    """
    of_run = EventRecord.objects.filter(
        session__in=Run.objects.filter(pk=run_id).values("session"), run_id=run_id
    )
    told = of_run.filter(type__in=(*DELTA_TYPES, "model_call.started")).order_by("-seq")
    last = told.values_list("type", "body").first()
    return int(json.loads(last[1])["tokens"]) if last and last[0] in DELTA_TYPES else 0


def last_seqs(session_pks: Iterable[int]) -> dict[int, int]:
    """The last `seq` of each of these sessions that still exists."""
    return dict(ChatSession.objects.filter(pk__in=list(session_pks)).values_list("pk", "last_seq"))


def format_at(at: datetime) -> str:
    """Print a time as every wire shows it: UTC, milliseconds, Z."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _envelope(place: Place, entry: Entry, seq: int) -> Envelope:
    return Envelope(
        seq=seq,
        session_id=place.session_id,
        run_id=str(place.run_id),
        attempt=place.attempt,
        at=format_at(entry.at),
        type=entry.event.type,
        body=entry.event.model_dump_json(),
    )


def _first_page(envelopes: list[Envelope]) -> list[Envelope]:
    characters = 0
    for count, envelope in enumerate(envelopes):
        if characters >= PAGE_CHARACTERS:
            return envelopes[:count]
        characters += len(envelope.body)
    return envelopes


def _envelopes(records: QuerySet[EventRecord], session_id: str) -> list[Envelope]:
    return [
        Envelope(
            seq=seq,
            session_id=session_id,
            run_id=str(run_id),
            attempt=attempt,
            at=format_at(at),
            type=type_,
            body=body,
        )
        for seq, run_id, attempt, at, type_, body in records.values_list(
            "seq", "run_id", "attempt", "at", "type", "body"
        )
    ]


def _take_seqs(counts: dict[int, int]) -> dict[int, int]:
    # One statement for all sessions: a statement each is ten times slower. Both PostgreSQL and
    # SQLite name the columns of VALUES column1, column2.
    values = ", ".join("(%s, %s)" for _ in counts)
    statement = (
        "UPDATE chat_chatsession SET last_seq = chat_chatsession.last_seq + taken.column2"  # noqa: S608  # nosec B608
        f" FROM (VALUES {values}) AS taken WHERE chat_chatsession.id = taken.column1"
        " RETURNING id, last_seq"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [number for pair in counts.items() for number in pair])
        return dict(cursor.fetchall())


def _row(place: Place, entry: Entry, envelope: Envelope) -> tuple[Any, ...]:
    return (
        place.session_pk,
        envelope.seq,
        database.uuid_parameter(place.run_id),
        place.attempt,
        envelope.type,
        envelope.body,
        connection.ops.adapt_datetimefield_value(entry.at),
    )


def _insert(rows: list[tuple[Any, ...]]) -> None:
    # bulk_create spends five times as long on building models and SQL as the database on storing.
    for start in range(0, len(rows), ROWS_PER_INSERT):
        chunk = rows[start : start + ROWS_PER_INSERT]
        values = ", ".join("(%s, %s, %s, %s, %s, %s, %s)" for _ in chunk)
        statement = (
            "INSERT INTO chat_eventrecord"  # noqa: S608  # nosec B608
            f" (session_id, seq, run_id, attempt, type, body, at) VALUES {values}"
        )
        with connection.cursor() as cursor:
            cursor.execute(statement, [value for row in chunk for value in row])


def delete_below_floor(session_pk: int, *, floor_seq: int) -> None:
    """Delete what is not kept any more, a few rows at a time."""
    gone = EventRecord.objects.filter(session_id=session_pk, seq__lte=floor_seq)
    while keys := list(gone.order_by("seq").values_list("pk", flat=True)[:ROWS_PER_DELETE]):
        EventRecord.objects.filter(pk__in=keys).delete()
