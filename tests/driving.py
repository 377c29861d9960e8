"""Drives runs from synchronous tests, through the same functions that the edges call."""

import time
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync

from chat import event_log, runs
from chat.commands import SendMessage
from chat.events import Envelope
from chat.models import ChatSession, Run
from chat.runs import Started


def send(session: ChatSession, text: str, *, model: str = "scripted:demo", **more: Any) -> Started:
    """Send a message as a client does; gives the run that was accepted."""
    return async_to_sync(runs.start)(session, SendMessage(text=text, **more), model=model)


def cancel(run_id: Any, reason: str = "requested") -> None:
    """Cancel a run as a client does."""
    async_to_sync(runs.cancel)(Run.objects.get(pk=run_id), reason)


def log_of(session: ChatSession) -> list[Envelope]:
    """All events of a session."""
    return event_log.read(
        session_pk=session.pk, session_id=session.session_id, after=0, limit=10**6
    )


def text_of(session: ChatSession) -> str:
    """The joined text deltas of the session's last attempt."""
    log = log_of(session)
    last = (log[-1].run_id, log[-1].attempt)
    deltas = [e for e in log if e.type == "text.delta" and (e.run_id, e.attempt) == last]
    return "".join(e.event.delta for e in deltas)


def wait_for(condition: Callable[[], Any], *, timeout_s: float = 10) -> Any:
    """Wait until something is true; gives what it was."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{condition} did not become true within {timeout_s} s")
        time.sleep(0.01)
    return found


def wait_for_status(run_id: Any, *statuses: str, timeout_s: float = 10) -> Run:
    """Wait until a run has one of these states."""
    found = Run.objects.filter(pk=run_id, status__in=statuses)
    return wait_for(found.first, timeout_s=timeout_s)
