"""How often a caller may ask for something, over all instances.

Redis keeps the count. Where it does not answer, each process counts by itself: a limit that is
wider for a while serves better than none, and better than refusing everybody.
"""

import asyncio
import logging
import math
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import redis
from django.conf import settings
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import RateLimiter, SlidingWindowCounterRateLimiter

from chat.principals import EVERYBODY, Principal

logger = logging.getLogger(__name__)

ANSWER_WITHIN_S = 0.25
PREFIX = "chatledger.limits"
_threads = ThreadPoolExecutor(2, thread_name_prefix="limits")


class TooOften(Exception):
    """The caller has asked as often as he may."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"Rate limit exceeded. Try again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


class Counter:
    """The counts as one process reaches them."""

    def __init__(self) -> None:
        pool = redis.ConnectionPool.from_url(
            settings.ENV.redis_url,
            socket_timeout=ANSWER_WITHIN_S,
            socket_connect_timeout=ANSWER_WITHIN_S,
        )
        storage = RedisStorage("redis://", connection_pool=pool, key_prefix=PREFIX)
        self._shared = SlidingWindowCounterRateLimiter(storage)
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())

    def take(self, caller: str, *, per_minute: int) -> None:
        """Count one request of a caller. Raises TooOften."""
        limit = RateLimitItemPerMinute(per_minute)
        try:
            self._take(self._shared, limit, caller)
        except redis.RedisError as error:
            logger.warning("Requests are counted by each process alone: %r", error)
            self._take(self._own, limit, caller)

    @staticmethod
    def _take(limiter: RateLimiter, limit: RateLimitItemPerMinute, caller: str) -> None:
        if not limiter.hit(limit, caller):
            window = limiter.get_window_stats(limit, caller)
            raise TooOften(max(math.ceil(window.reset_time - time.time()), 1))


async def take(principal: Principal, *, address: str) -> None:
    """Count one request of a caller, if the operator has set a limit. Raises TooOften.

    Where everybody is one, it is counted for the address that it came from.
    """
    per_minute = settings.ENV.rate_limit_per_minute
    if not per_minute:
        return
    caller = f"address:{address}" if principal == EVERYBODY else principal.owner_key
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(_threads, lambda: take_now(caller, per_minute=per_minute))


def take_now(caller: str, *, per_minute: int) -> None:
    """Count something that may be done so often, on this thread. Raises TooOften."""
    _counter().take(caller, per_minute=per_minute)


@lru_cache(maxsize=1)
def _counter() -> Counter:
    return Counter()
