"""A position in a session's log, as clients name it: a `seq`, or `<channel>:<seq>` in SSE."""

import re

_SEQ = re.compile(r"[0-9]{1,18}", re.ASCII)


class InvalidPosition(ValueError):
    """The text names no position."""


def parse(text: str) -> int:
    """Read a `seq`; 0 is the beginning. Raises InvalidPosition.

    `int()` would also take signs, underscores and digits of other scripts.
    """
    if not _SEQ.fullmatch(text):
        raise InvalidPosition("after must be a whole number from 0")
    return int(text)
