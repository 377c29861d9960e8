"""The threads on which Django's synchronous code runs, shared by all requests.

By itself Django gives each request a thread, and with it a database connection, for as long as
the response lasts: with a thousand open streams, a thousand threads.
"""

from collections import Counter
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext

THREADS = 8


class SharedThreads:
    """ASGI middleware that lets each request use the thread that the fewest others use."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._requests: Counter[Executor] = Counter(
            {ThreadPoolExecutor(1, thread_name_prefix=f"request-{n}"): 0 for n in range(THREADS)}
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        executor = min(self._requests, key=self._requests.__getitem__)
        self._requests[executor] += 1
        try:
            async with ThreadSensitiveContext(executor=executor):
                await self._application(scope, receive, send)
        finally:
            self._requests[executor] -= 1
