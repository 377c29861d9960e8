"""Database work for coroutines, on a few threads that keep their connections.

The threads that Django gives to async code are tied to a request or, in a long-lived loop, are a
single one that stays broken after a database restart. A thousand open streams share these few.
"""

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connection, reset_queries

P = ParamSpec("P")
T = TypeVar("T")
THREADS = 4

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


def uuid_parameter(value: uuid.UUID) -> uuid.UUID | str:
    """A UUID as a parameter of a statement written by hand."""
    return value if connection.features.has_native_uuid_field else value.hex


def uuid_of(value: uuid.UUID | str) -> uuid.UUID:
    """A UUID as a statement written by hand gives it back."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(hex=value)
