"""That this process is about to end, told to those who hold a connection open before it does.

The server announces it. Nothing of Django is imported: the server is there before Django is.
"""

import asyncio
import random

#: How long a client is told to wait before it connects again.
RETRY_MS = (200, 1500)


class _State:
    """One for a process, as its end is."""

    def __init__(self) -> None:
        self.has_begun = False
        self.spread_s = 0.0
        self.waiting: set[asyncio.Future[None]] = set()


_state = _State()


def begin(*, spread_s: float) -> None:
    """Tell everybody; they end their streams within `spread_s`, not all at once."""
    _state.has_begun = True
    _state.spread_s = spread_s
    for waiter in _state.waiting:
        if not waiter.done():
            waiter.set_result(None)


def has_begun() -> bool:
    """Say whether this process is about to end."""
    return _state.has_begun


async def turn() -> None:
    """Wait until this process is about to end, and then until it is one's turn to leave."""
    if not _state.has_begun:
        waiter = asyncio.get_running_loop().create_future()
        _state.waiting.add(waiter)
        try:
            await waiter
        finally:
            _state.waiting.discard(waiter)
    await asyncio.sleep(random.uniform(0, _state.spread_s))


def retry_ms() -> int:
    """Choose when one client is to connect again, so that not all come at once."""
    return random.randint(*RETRY_MS)
