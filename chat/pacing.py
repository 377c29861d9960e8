"""Waiting for what comes, without waiting too long in silence or beyond the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
End = Callable[[], Awaitable[None]]


async def paced(
    following: AsyncIterator[T], ends: Iterable[End], *, silence_s: float
) -> AsyncIterator[T | None]:
    """Give what comes, and None where nothing has come for a while, until one of `ends` is done."""
    ending = {asyncio.ensure_future(end()) for end in ends}
    upcoming: asyncio.Future[Any] | None = None
    try:
        while True:
            upcoming = upcoming or asyncio.ensure_future(anext(following))
            done, _ = await asyncio.wait(
                {upcoming, *ending}, timeout=silence_s, return_when=asyncio.FIRST_COMPLETED
            )
            if done & ending:
                return
            if done:
                try:
                    found = upcoming.result()
                except StopAsyncIteration:
                    return
                upcoming = None
                yield found
            else:
                yield None
    finally:
        left = {upcoming, *ending} if upcoming else ending
        for future in left:
            future.cancel()
        await asyncio.gather(*left, return_exceptions=True)
