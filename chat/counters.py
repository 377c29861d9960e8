"""What this process alone knows in numbers: its connections, what it told, what was lost.

`chat/vitals.py` tells the other processes. Nothing of Django is imported: the server counts too.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Gauge = Literal["websockets", "event_streams", "executing_runs", "run_slots"]
Total = Literal[
    "events_told",
    "events_stored",
    "log_rereads",
    "slow_clients_dropped",
    "layer_messages_lost",
]

_counts: Counter[str] = Counter()


def add(name: Total, amount: int = 1) -> None:
    """Count something that has happened."""
    _counts[name] += amount


def put(name: Gauge, value: int) -> None:
    """Say how much there is of something from now on."""
    _counts[name] = value


@contextmanager
def during(name: Gauge) -> Iterator[None]:
    """Count something for as long as it lasts."""
    _counts[name] += 1
    try:
        yield
    finally:
        _counts[name] -= 1


def snapshot() -> dict[str, int]:
    """All counts as they are now."""
    return dict(_counts)
