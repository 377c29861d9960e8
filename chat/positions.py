"""A position in a session's log, as clients name it: `<seq>` or `<epoch>:<seq>`.

The epoch names an incarnation of the log. A position in another one, or in another session's
log, means nothing here and is never taken for one that does.
"""

import re
from dataclasses import dataclass
from typing import Literal

from chat.models import ChatSession, Run

Reason = Literal["ahead", "expired", "epoch", "unknown"]

_POSITION = re.compile(r"(?:(?P<epoch>[A-Za-z0-9-]{1,16}):)?(?P<seq>[0-9]{1,18})", re.ASCII)


class InvalidPosition(ValueError):
    """The text names no position."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a log; without an epoch it is taken to be the one that is kept now."""

    seq: int
    epoch: str | None = None
    #: In the log of something else than the session that is asked for.
    is_foreign: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """Where a reader begins, and why that is not where it wanted to."""

    after: int
    reset: Reason | None = None


def parse(text: str) -> Position:
    """Read a position; seq 0 is the beginning. Raises InvalidPosition.

    `int()` would also take signs, underscores and digits of other scripts.
    """
    found = _POSITION.fullmatch(text)
    if not found:
        raise InvalidPosition("a position is a whole number from 0, or epoch:number")
    return Position(int(found["seq"]), found["epoch"])


def start(session: ChatSession, *, wanted: Position | None) -> Start:
    """Find where to begin; None is now.

    A reader that has lost its place begins anew, from the messages and the runs that are active:
    it never gets a part of what it missed as if it were all.
    """
    if wanted is None:
        return Start(session.last_seq)
    reason = _why_lost(session, wanted)
    return Start(_anew(session), reason) if reason else Start(wanted.seq)


def _why_lost(session: ChatSession, wanted: Position) -> Reason | None:
    if wanted.is_foreign:
        return "unknown"
    if wanted.epoch not in (None, session.epoch):
        return "epoch"
    if wanted.seq > session.last_seq:
        return "ahead"
    return "expired" if wanted.seq < session.floor_seq else None


def _anew(session: ChatSession) -> int:
    """The position before the first event of all runs that are active."""
    active = session.runs.filter(status__in=Run.ACTIVE).order_by("queued_seq")
    first = active.values_list("queued_seq", flat=True).first()
    return session.last_seq if first is None else first - 1
