"""Waiting for what comes, without waiting too long in silence or beyond the end."""

import asyncio
import time
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


async def batched(
    pages: AsyncIterator[list[T]], *, wait_s: float, is_due: Callable[[list[T]], bool]
) -> AsyncIterator[list[T]]:
    """Join the pages that come within `wait_s` of a first one, or until they are due before.

    An empty page is passed on behind what came before it.
    """
    batch: list[T] = []
    due_at = 0.0
    upcoming: asyncio.Future[list[T] | None] | None = None
    try:
        while True:
            upcoming = upcoming or asyncio.ensure_future(anext(pages, None))
            left_s = due_at - time.monotonic() if batch else None
            await asyncio.wait({upcoming}, timeout=left_s)
            page: list[T] | None = []
            if has_come := upcoming.done():
                page, upcoming = upcoming.result(), None
                due_at = due_at if batch else time.monotonic() + wait_s
                batch += page or []
            if batch and (not page or is_due(batch) or time.monotonic() >= due_at):
                yield batch
                batch = []
            if page is None:
                return
            if has_come and not page:
                yield page
    finally:
        if upcoming:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)
