"""A time limit for streams that are still open: between two pieces, and for all of them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

T = TypeVar("T")


class _Silence:
    """Ends the wait of the task that made it when nothing has come for `limit_s`, or at the end.

    The client's own timeout is kept alive by comments, and a timer for each token would cost more
    than the token: this one looks now and then how long ago the last one was.
    """

    def __init__(self, limit_s: float, *, total_limit_s: float) -> None:
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._heard_at = self._loop.time()
        self._ends_at = self._heard_at + total_limit_s
        self._is_waiting = False
        self.is_broken = False
        self._timer = self._loop.call_later(min(limit_s, total_limit_s), self._look)

    async def next_of(self, source: AsyncIterator[T]) -> T:
        self._is_waiting = True
        self._heard_at = self._loop.time()
        chunk = await anext(source)
        self._is_waiting = False
        return chunk

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        left_s = min(self._heard_at + self._limit_s, self._ends_at) - self._loop.time()
        if not self._is_waiting:
            left_s = self._limit_s
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        elif self._task:
            self.is_broken = True
            self._task.cancel()


async def until_silent(
    source: AsyncIterator[T], limit_s: float, *, total_limit_s: float
) -> AsyncGenerator[T, None]:
    """Pass the pieces on. Raises TimeoutError when nothing comes for `limit_s`, or at the end."""
    silence = _Silence(limit_s, total_limit_s=total_limit_s)
    try:
        while True:
            yield await silence.next_of(source)
    except StopAsyncIteration:
        return
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not silence.is_broken or task is None:
            raise
        if task.uncancel() > 0:
            # Somebody else has cancelled it, too.
            raise
        raise TimeoutError from None
    finally:
        silence.stop()
