"""A position in a session's log, as clients name it: a `seq`, or `<channel>:<seq>` in SSE."""

import re
from dataclasses import dataclass
from typing import Literal

from chat.models import ChatSession

_SEQ = re.compile(r"[0-9]{1,18}", re.ASCII)


class InvalidPosition(ValueError):
    """The text names no position."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a reader begins, and why that is not where it wanted to."""

    after: int
    reset: Literal["ahead", "expired"] | None = None


def parse(text: str) -> int:
    """Read a `seq`; 0 is the beginning. Raises InvalidPosition.

    `int()` would also take signs, underscores and digits of other scripts.
    """
    if not _SEQ.fullmatch(text):
        raise InvalidPosition("after must be a whole number from 0")
    return int(text)


def start(session: ChatSession, *, wanted: int | None) -> Start:
    """Find where to begin; None is now.

    A reader that is ahead of the log or below its kept part has lost its place: it begins anew
    from the messages, and never gets a part of what it missed as if it were all.
    """
    if wanted is None:
        return Start(session.last_seq)
    if wanted > session.last_seq:
        return Start(session.last_seq, "ahead")
    if wanted < session.floor_seq:
        return Start(session.floor_seq, "expired")
    return Start(wanted)
