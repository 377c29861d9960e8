"""The client's side of a run: start, cancel, retry."""

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Coalesce, Now

from chat import broadcast, database, doorbell, endings, event_log, events, parts, sessions
from chat.commands import IfRunning, SendMessage
from chat.events import CancelReason, Envelope
from chat.models import ChatSession, Message, Run
from chat.parts import TextPart
from chat.principals import EVERYBODY, Principal

MAX_QUEUED = 20


class Refused(Exception):
    """The run is not started or not found; `code` is for programs, `str()` for people."""

    code = "refused"

    def __str__(self) -> str:
        return (self.__doc__ or "").partition("\n")[0]


class RunActive(Refused):
    """A run is active in this session already."""

    code = "run_active"


class TooManyQueued(Refused):
    """Too many runs are waiting in this session."""

    code = "too_many_queued"


class TooManyActive(Refused):
    """Runs are active in too many of your sessions. Wait for one to end."""

    code = "too_many_active"


class UnknownRun(Refused):
    """There is no such run."""

    code = "unknown_run"


class NotRetryable(Refused):
    """Only a run that failed or was cancelled can be asked again."""

    code = "not_retryable"


class KeyReused(Refused):
    """The idempotency key was used for another request."""

    code = "idempotency_key_reused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A run that was accepted, now or by an earlier request with the same key."""

    run_id: uuid.UUID
    message_id: uuid.UUID
    #: The seq of the event that stored the user's message.
    seq: int
    is_repeated: bool


async def start(
    session: ChatSession,
    command: SendMessage,
    *,
    model: str,
    api_key: str = "",
    is_attended: bool = False,
) -> Started:
    """Accept a message: store it, queue its run, and ring for a worker.

    An attended run is stopped soon unless somebody attends it, see chat/attendance.py.

    Raises RunActive, TooManyQueued, TooManyActive, KeyReused, or UnknownSession when the session
    was just deleted.
    """
    started, stored, cancelled = await database.write(
        _start, session.pk, command, model, api_key=api_key, is_attended=is_attended
    )
    await _announce(started, session.pk, stored, cancelled)
    return started


async def retry(
    run: Run, *, model: str, api_key: str = "", idempotency_key: str | None = None
) -> Started:
    """Ask again what a run that failed or was cancelled could not answer.

    Raises NotRetryable, RunActive, TooManyActive, KeyReused or UnknownSession.
    """
    started, stored = await database.write(_retry, run.pk, model, api_key, idempotency_key)
    await _announce(started, run.session_id, stored, [])
    return started


async def _announce(
    started: Started,
    session_pk: int,
    stored: Sequence[Envelope],
    cancelled: Sequence[tuple[uuid.UUID, CancelReason]],
) -> None:
    if started.is_repeated:
        return
    doorbell.ring(started.run_id)
    await broadcast.send_soon(broadcast.publish((session_pk, stored)))
    for run_id, reason in cancelled:
        await broadcast.send_soon(broadcast.cancel(run_id, reason))


async def cancel(run: Run, reason: CancelReason = "requested") -> None:
    """Stop a run, wherever it is; a run that has ended stays as it is."""
    session_pk, stored = await database.write(_cancel, run.pk, reason)
    if not stored:
        await broadcast.send_soon(broadcast.cancel(run.pk, reason))
        return
    await broadcast.send_soon(broadcast.publish((session_pk, stored)))
    next_id = await database.read(next_after, run.pk)
    if next_id:
        doorbell.ring(next_id)


def get_for(principal: Principal, run_id: str) -> Run:
    """Find a run of the principal's own sessions. Raises UnknownRun."""
    try:
        return Run.objects.select_related("session").get(
            pk=uuid.UUID(run_id), session__owner_key=principal.owner_key
        )
    except (Run.DoesNotExist, ValueError) as error:
        raise UnknownRun from error


def get_in(session: ChatSession, run_id: str) -> Run:
    """Find a run of a session. Raises UnknownRun."""
    try:
        return session.runs.get(pk=uuid.UUID(run_id))
    except (Run.DoesNotExist, ValueError) as error:
        raise UnknownRun from error


def active_in(session: ChatSession) -> list[Run]:
    """The session's runs that have not ended, in the order they will be executed."""
    return list(session.runs.filter(status__in=Run.ACTIVE).order_by("queued_seq"))


def next_after(run_id: uuid.UUID) -> uuid.UUID | None:
    """The queued run of the same session that may start now that this one has ended."""
    session = Run.objects.filter(pk=run_id).values("session")
    active = Run.objects.filter(session__in=session, status__in=Run.ACTIVE).order_by("queued_seq")
    first = active.values_list("pk", "status").first()
    return first[0] if first and first[1] == Run.Status.QUEUED else None


@transaction.atomic
def _start(
    session_pk: int,
    command: SendMessage,
    model: str,
    *,
    api_key: str,
    retry_of: Run | None = None,
    asks_again: uuid.UUID | None = None,
    is_attended: bool = False,
) -> tuple[Started, list[Envelope], list[tuple[uuid.UUID, CancelReason]]]:
    session = ChatSession.objects.select_for_update().filter(pk=session_pk).first()
    if session is None:
        raise sessions.UnknownSession(session_pk)
    digest = _digest(command, asks_again=asks_again)
    if known := _run_of_key(session, command.idempotency_key):
        return _repeated(known, digest), [], []
    _check_active_elsewhere(session)
    cancelled, stored = _make_way(session, command.if_running)
    run = Run.objects.create(
        session=session,
        queued_seq=session.last_seq + len(stored) + 1,
        model=model,
        options=command.options,
        api_key=api_key,
        idempotency_key=command.idempotency_key,
        request_digest=digest,
        retry_of=retry_of,
        left_at=Now() if is_attended else None,
    )
    message_id = uuid.uuid4()
    stored += _store_question(run, message_id, command.text)
    sessions.touch(session, first_text=command.text)
    started = Started(run_id=run.pk, message_id=message_id, seq=stored[-1].seq, is_repeated=False)
    return started, stored, cancelled


def _store_question(run: Run, message_id: uuid.UUID, text: str) -> list[Envelope]:
    retry_of = str(run.retry_of_id) if run.retry_of_id else None
    key, question = run.idempotency_key, [TextPart(text=text)]
    stored = event_log.append_now(
        endings.place_of(run),
        events.RunQueued(model=run.model, retry_of=retry_of),
        events.MessageStarted(message_id=str(message_id), role="user", idempotency_key=key),
        events.MessageCompleted(message_id=str(message_id), role="user", parts=question),
    )
    endings.store_message(run.pk, stored[-1:])
    return stored


@transaction.atomic
def _retry(
    run_id: uuid.UUID, model: str, api_key: str, idempotency_key: str | None
) -> tuple[Started, list[Envelope]]:
    run = lock(run_id)
    question = parts.load(run.messages.get(role=Message.Role.USER).parts)
    command = SendMessage(
        text=parts.text_of(question),
        model=model,
        idempotency_key=idempotency_key,
        **run.options,
    )
    known = _run_of_key(run.session, idempotency_key)
    if known:
        return _repeated(known, _digest(command, asks_again=run_id)), []
    newest = run
    while again := newest.retries.order_by("queued_seq").last():
        newest = again
    if newest.status not in (Run.Status.FAILED, Run.Status.CANCELLED):
        raise NotRetryable
    started, stored, _ = _start(
        run.session_id, command, model, api_key=api_key, retry_of=newest, asks_again=run_id
    )
    return started, stored


def _run_of_key(session: ChatSession, idempotency_key: str | None) -> Run | None:
    if not idempotency_key:
        return None
    return session.runs.filter(idempotency_key=idempotency_key).first()


def _digest(command: SendMessage, *, asks_again: uuid.UUID | None = None) -> str:
    # As it was asked for: which model is the default may change between two tries.
    asked: list[object] = [command.text, command.model, command.if_running]
    asked += [command.options] if command.options else []
    request = json.dumps([*asked, str(asks_again)] if asks_again else asked)
    return hashlib.sha256(request.encode()).hexdigest()


def _repeated(run: Run, digest: str) -> Started:
    if run.request_digest != digest:
        raise KeyReused
    message = run.messages.get(role=Message.Role.USER)
    return Started(run_id=run.pk, message_id=message.pk, seq=message.seq, is_repeated=True)


def _check_active_elsewhere(session: ChatSession) -> None:
    if session.owner_key == EVERYBODY.owner_key:
        return
    active = Run.objects.filter(status__in=Run.ACTIVE, session__owner_key=session.owner_key)
    others = active.exclude(session=session).values("session").distinct().count()
    if others >= settings.ENV.max_active_sessions_per_user:
        raise TooManyActive


def _make_way(
    session: ChatSession, if_running: IfRunning
) -> tuple[list[tuple[uuid.UUID, CancelReason]], list[Envelope]]:
    """Do what the caller wants done about runs that are active already."""
    active = active_in(session)
    if not active:
        return [], []
    if if_running == "reject":
        raise RunActive
    if if_running == "enqueue":
        if len(active) >= MAX_QUEUED:
            raise TooManyQueued
        return [], []
    reason: CancelReason = "interrupted" if if_running == "interrupt" else "rolled_back"
    stored = [envelope for run in active for envelope in _request_cancel(run, reason)]
    running = [(run.pk, reason) for run in active if run.status == Run.Status.RUNNING]
    return running, stored


@transaction.atomic
def _cancel(run_id: uuid.UUID, reason: CancelReason) -> tuple[int, list[Envelope]]:
    run = lock(run_id)
    return run.session_id, _request_cancel(run, reason) if run.is_active else []


def _request_cancel(run: Run, reason: CancelReason) -> list[Envelope]:
    """End a queued run at once; ask for the end of a running one."""
    if run.cancel_reason == "rolled_back":
        # Whatever is asked for later, it stays out of the conversation.
        reason = "rolled_back"
    if run.status == Run.Status.RUNNING:
        Run.objects.filter(pk=run.pk).update(
            cancel_requested_at=Coalesce("cancel_requested_at", Now()), cancel_reason=reason
        )
        return []
    return endings.end_unexecuted(run, events.RunCancelled(reason=reason))


def lock(run_id: uuid.UUID) -> Run:
    """Lock a run and its session, in the order that everybody keeps."""
    session_pk = Run.objects.values_list("session_id", flat=True).get(pk=run_id)
    ChatSession.objects.select_for_update().get(pk=session_pk)
    return Run.objects.select_for_update(of=("self",)).select_related("session").get(pk=run_id)
