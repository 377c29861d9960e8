"""What each process counts, told to all: each puts its counters into Redis every few seconds.

So every web process can tell of all processes, also of workers and those on other machines. What
a process that has died said last is gone after KEPT_S.
"""

import contextlib
import json
import os
import socket
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import redis
from django.conf import settings

from chat import counters

Role = Literal["web", "worker"]
REPORT_EVERY_S = 5.0
KEPT_S = 16
ANSWER_WITHIN_S = 1.0
_NAMES = "chatledger.processes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What one process said of itself at most KEPT_S ago."""

    process: str
    role: Role
    counts: dict[str, int]

    def count(self, name: counters.Gauge | counters.Total) -> int:
        return self.counts.get(name, 0)


def start(role: Role) -> None:
    """Report from now on. A thread does it, so that a busy loop does not look like a dead one."""
    threading.Thread(target=_report_forever, args=(role,), name="vitals", daemon=True).start()


def report(role: Role) -> None:
    """Tell all what this process has counted. Raises redis.RedisError."""
    name = f"{socket.gethostname()[:40]}:{os.getpid()}"
    said = json.dumps({"role": role, "counts": counters.snapshot()})
    with _client().pipeline(transaction=False) as pipe:
        pipe.sadd(_NAMES, name)
        pipe.set(_key(name), said, ex=KEPT_S)
        pipe.execute()


def of_all() -> list[Vitals]:
    """What the processes that live have said, in the order of their names.

    Raises redis.RedisError.
    """
    client: Any = _client()
    names = sorted(name.decode() for name in client.smembers(_NAMES))
    said = client.mget([_key(name) for name in names]) if names else []
    gone = [name for name, vitals in zip(names, said, strict=True) if vitals is None]
    if gone:
        client.srem(_NAMES, *gone)
    return [
        Vitals(process=name, **json.loads(vitals))
        for name, vitals in zip(names, said, strict=True)
        if vitals is not None
    ]


def _report_forever(role: Role) -> None:
    while True:
        # Whatever else needs Redis says in the log that it is away.
        with contextlib.suppress(redis.RedisError):
            report(role)
        time.sleep(REPORT_EVERY_S)


def _key(name: str) -> str:
    return f"chatledger.process.{name}"


@lru_cache(maxsize=1)
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.ENV.redis_url,
        socket_timeout=ANSWER_WITHIN_S,
        socket_connect_timeout=ANSWER_WITHIN_S,
    )
