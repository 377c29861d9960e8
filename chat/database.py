"""Database work for coroutines, on a few threads that keep their connections.

The threads that Django gives to async code are tied to a request or, in a long-lived loop, are a
single one that stays broken after a database restart. A thousand open streams share these few.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connection, reset_queries

P = ParamSpec("P")
T = TypeVar("T")
THREADS = 4
#: So long a database may be away before what waits for it gives up.
PATIENCE_S = 30.0

#: The connection broke or the database is busy: the same work may succeed a moment later.
Unavailable = (OperationalError, InterfaceError)

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="database")


def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do `work` on this thread's own connection and drop the connection when it broke."""
    try:
        return work(*args, **kwargs)
    except Unavailable:
        connection.close()
        raise
    finally:
        # With DEBUG on, Django would keep every statement of a thread that serves no request.
        reset_queries()


async def write(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` once on a database thread."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, lambda: in_thread(work, *args, **kwargs))


async def read(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work`, which changes nothing, and run it again when the connection turns out dead."""
    try:
        return await write(work, *args, **kwargs)
    except Unavailable:
        return await write(work, *args, **kwargs)


async def patiently(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` again and again until the database takes it; it must be repeatable.

    Raises Unavailable after PATIENCE_S.
    """
    async for waited_s in tries():
        try:
            return await write(work, *args, **kwargs)
        except Unavailable:
            if waited_s >= PATIENCE_S:
                raise
    raise AssertionError("tries never end by themselves")


async def tries() -> AsyncIterator[float]:
    """Pace tries with growing pauses, for ever; each is told for how many seconds they go on."""
    started_at = time.monotonic()
    pause_s = 0.05
    while True:
        yield time.monotonic() - started_at
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 2.0)


def uuid_parameter(value: uuid.UUID) -> uuid.UUID | str:
    """A UUID as a parameter of a statement written by hand."""
    return value if connection.features.has_native_uuid_field else value.hex


def uuid_of(value: uuid.UUID | str) -> uuid.UUID:
    """A UUID as a statement written by hand gives it back."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(hex=value)
