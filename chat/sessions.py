"""The one door to a ChatSession: create, find, list, rename, delete, and its history.

Nothing else touches ChatSession.objects on behalf of a caller. Who does not own a session gets
the same answer as for one that does not exist.
"""

import base64
import json
import re
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from chat import event_log, strict_json
from chat.models import ChatSession, Message, Run
from chat.principals import Principal

SESSION_ID = re.compile(r"[A-Za-z0-9._~:@-]{1,128}")
TITLE_LENGTH = 60


class UnknownSession(LookupError):
    """There is no such session for this principal."""

    code = "unknown_session"

    def __str__(self) -> str:
        return "There is no such session"


class InvalidSessionId(ValueError):
    """The id has characters or a length that no session has."""


class InvalidCursor(ValueError):
    """The cursor is none of ours."""


class SessionBusy(Exception):
    """The session has a run that has to be cancelled first."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of sessions, newest first, and where the next one starts."""

    sessions: Sequence[ChatSession]
    next_cursor: str | None


def get_for(principal: Principal, session_id: str) -> ChatSession:
    """Find the principal's own session. Raises UnknownSession."""
    return _get(_of(principal), session_id)


def described_for(principal: Principal, session_id: str) -> ChatSession:
    """Find the principal's own session and which run of it is active. Raises UnknownSession."""
    return _get(_described(principal), session_id)


def of_channel(*, session_id: str, epoch: str) -> ChatSession | None:
    """Find a session by what its SSE channel is named after, whoever owns it."""
    return ChatSession.objects.filter(session_id=session_id, epoch=epoch).first()


def create(
    principal: Principal, *, session_id: str | None = None, title: str = "", model: str = ""
) -> tuple[ChatSession, bool]:
    """Create a session, or give the principal's own one of that id; says which.

    Raises InvalidSessionId.
    """
    if session_id is not None and not SESSION_ID.fullmatch(session_id):
        raise InvalidSessionId("A session id has 1 to 128 letters, digits or any of . _ ~ : @ -")
    chosen = {} if session_id is None else {"session_id": session_id}
    try:
        with transaction.atomic():
            made = ChatSession.objects.create(
                owner_key=principal.owner_key, title=title, model=model, **chosen
            )
        return described_for(principal, made.session_id), True
    except IntegrityError:
        return described_for(principal, session_id or ""), False


def page_for(principal: Principal, *, limit: int, cursor: str | None) -> Page:
    """List the principal's sessions, most recently used first. Raises InvalidCursor."""
    found = _described(principal).order_by("-updated_at", "-id")
    if cursor:
        updated_at, pk = _read_cursor(cursor)
        found = found.filter(Q(updated_at__lt=updated_at) | Q(updated_at=updated_at, pk__lt=pk))
    rows = list(found[: limit + 1])
    has_more = len(rows) > limit
    rows = rows[:limit]
    return Page(rows, _make_cursor(rows[-1]) if has_more else None)


def message_counts(found: Iterable[ChatSession]) -> dict[int, int]:
    """How many messages each of these sessions has, by their keys; none where there are none."""
    counted = Message.objects.filter(session__in=list(found)).values("session_id")
    rows = counted.annotate(count=Count("id"))
    return {row["session_id"]: row["count"] for row in rows}


def titles_of(ledger_keys: Collection[str]) -> dict[str, str]:
    """The titles of sessions by what the ledger calls them; deleted ones have none."""
    ids = {ChatSession.id_in_ledger_key(key) for key in ledger_keys}
    owners = {key.partition("/")[0] for key in ledger_keys}
    found = ChatSession.objects.filter(session_id__in=ids, owner_key__in=owners)
    titles = {session.ledger_key: session.title for session in found if session.title}
    return {key: titles[key] for key in ledger_keys if key in titles}


def change(session: ChatSession, *, title: str | None, model: str | None) -> ChatSession:
    """Rename a session or choose its model; None leaves a field as it is.

    Raises UnknownSession when it was just deleted.
    """
    changed = {k: v for k, v in (("title", title), ("model", model)) if v is not None}
    if changed and not ChatSession.objects.filter(pk=session.pk).update(**changed):
        raise UnknownSession(session.session_id)
    for name, value in changed.items():
        setattr(session, name, value)
    return session


def remember(session: ChatSession, context: Mapping[str, Any]) -> None:
    """Keep what the agent is to be told about the user; what is not given stays as it was."""
    if not context:
        return
    with transaction.atomic():
        locked = ChatSession.objects.select_for_update().filter(pk=session.pk).first()
        if locked is None:
            raise UnknownSession(session.session_id)
        kept = {**locked.context, **context}
        ChatSession.objects.filter(pk=session.pk).update(context=kept)


def delete(session: ChatSession) -> None:
    """Delete a session with its messages and events; what it cost stays in the ledger.

    Raises SessionBusy while a run is active: cancel it first; UnknownSession when it is gone.
    """
    with transaction.atomic():
        idle = _idle(session)
        idle.floor_seq = idle.last_seq
        idle.save(update_fields=["floor_seq"])
    # Before all the rest, so that no transaction deletes a hundred thousand rows.
    event_log.delete_below_floor(session.pk, floor_seq=idle.floor_seq)
    with transaction.atomic():
        _idle(session).delete()


def renew_epochs() -> int:
    """Make all positions void that clients have; gives how many sessions there are.

    For a log that was restored from a backup: a position may be beyond its end now, or stand for
    another event. The first part of an epoch stays, since the ledger's keys are made of it.
    """
    count = 0
    for pk, epoch in ChatSession.objects.values_list("pk", "epoch").iterator():
        renewed = f"{epoch.partition('-')[0]}-{secrets.token_hex(3)}"
        count += ChatSession.objects.filter(pk=pk).update(epoch=renewed)
    return count


def messages_of(session: ChatSession, *, before: int | None, limit: int) -> list[Message]:
    """The session's messages, newest first, from before the seq `before`."""
    found = _shown(session).order_by("-seq")
    if before is not None:
        found = found.filter(seq__lt=before)
    return list(found[:limit])


def history_of(run: Run) -> list[Message]:
    """The conversation that a run answers, oldest first: all runs before it, and its question.

    In the order of the runs: the answer before may have been completed after the question was
    asked. What was asked again is there once.
    """
    earlier = Q(run__queued_seq__lt=run.queued_seq, run__retries__isnull=True)
    earlier |= Q(run=run, role=Message.Role.USER)
    return list(_shown(run.session).filter(earlier).order_by("run__queued_seq", "seq"))


def touch(session: ChatSession, *, first_text: str) -> None:
    """Move the session to the top of the list; its first message gives it a title."""
    title = session.title or _title_from(first_text)
    ChatSession.objects.filter(pk=session.pk).update(updated_at=timezone.now(), title=title)


def _idle(session: ChatSession) -> ChatSession:
    """Lock a session in which no run is active."""
    locked = ChatSession.objects.select_for_update().filter(pk=session.pk).first()
    if locked is None:
        raise UnknownSession(session.session_id)
    if locked.runs.filter(status__in=Run.ACTIVE).exists():
        raise SessionBusy(session.session_id)
    return locked


def _get(found: QuerySet[ChatSession], session_id: str) -> ChatSession:
    if not SESSION_ID.fullmatch(session_id):
        raise UnknownSession(session_id)
    try:
        return found.get(session_id=session_id)
    except ChatSession.DoesNotExist as error:
        raise UnknownSession(session_id) from error


def _of(principal: Principal) -> QuerySet[ChatSession]:
    return ChatSession.objects.filter(owner_key=principal.owner_key)


def _described(principal: Principal) -> QuerySet[ChatSession]:
    active = Run.objects.filter(session=OuterRef("pk"), status__in=Run.ACTIVE)
    return _of(principal).annotate(
        active_run_id=Subquery(active.order_by("queued_seq").values("pk")[:1])
    )


def _shown(session: ChatSession) -> QuerySet[Message]:
    # Whatever the run's end was: it may have come in the moment in which it was rolled back.
    return Message.objects.filter(session=session).exclude(run__cancel_reason="rolled_back")


def _title_from(text: str) -> str:
    line = " ".join(text.split())
    if len(line) <= TITLE_LENGTH:
        return line
    return line[:TITLE_LENGTH].rsplit(" ", 1)[0] + "…"


def _make_cursor(session: ChatSession) -> str:
    text = json.dumps([session.updated_at.isoformat(), session.pk])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[datetime, int]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.urlsafe_b64decode(padded).decode()
        updated_at, pk = strict_json.loads(text)
        at = datetime.fromisoformat(updated_at)
        at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidCursor(cursor) from error
    if (
        at.tzinfo is None
        or type(pk) is not int
        or not 0 <= pk < 2**63
        or not 2000 <= at.year < 9000
    ):
        raise InvalidCursor(cursor)
    return at, pk
