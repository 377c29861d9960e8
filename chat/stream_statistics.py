"""How the streams of all processes go, as the database tells it.

Every query is bounded by what is active or by a window of time, and has an index to go by.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Min, Q
from django.db.models.functions import Now
from django.utils import timezone

from chat.models import Run
from costs.models import ModelCall

#: Percentiles are those of the newest so many runs of a window.
SAMPLE_RUNS = 1000
#: The speed is that of the calls of the newest so many of them.
SPEED_RUNS = 200
#: The percentiles of a piece of a window are those of its newest so many.
BUCKET_RUNS = 100
QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """The runs that have not ended."""

    queued: int
    running: int
    #: Running ones that their worker has not been heard of.
    expired: int
    oldest_queued_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Some quantiles of a sample; none when it is empty."""

    by_quantile: dict[float, float]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Distribution":
        ordered = sorted(values)
        last = len(ordered) - 1
        found = {q: ordered[min(int(q * len(ordered)), last)] for q in QUANTILES if ordered}
        return cls(by_quantile=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The runs that ended in a window of time."""

    #: By status and error code, which is empty where nothing went wrong.
    counts: dict[tuple[str, str], int]
    first_chunk_s: Distribution
    duration_s: Distribution
    #: Output tokens a second of single model calls, from their first token on.
    tokens_per_s: Distribution

    def count(self, status: str) -> int:
        return sum(n for (of_status, _), n in self.counts.items() if of_status == status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A piece of a window: how many runs ended in it, and how long their first chunks took."""

    at: datetime
    counts: dict[str, int]
    first_chunk_s: Distribution


def active() -> Active:
    """Count what waits and what is being executed."""
    queued = Run.objects.filter(status=Run.Status.QUEUED)
    running = Run.objects.filter(status=Run.Status.RUNNING)
    waiting = queued.aggregate(count=Count("pk"), oldest=Min("created_at"))
    leased = running.aggregate(
        count=Count("pk"), expired=Count("pk", filter=Q(lease_expires_at__lt=Now()))
    )
    oldest = waiting["oldest"]
    return Active(
        queued=waiting["count"],
        running=leased["count"],
        expired=leased["expired"],
        oldest_queued_s=max((timezone.now() - oldest).total_seconds(), 0) if oldest else 0,
    )


def ended_since(since: datetime) -> Ended:
    """Describe the runs that ended since then."""
    ended = Run.objects.filter(ended_at__gte=since)
    counted = ended.values_list("status", "error_code").annotate(count=Count("pk"))
    sample = list(
        ended.order_by("-ended_at").values_list("pk", "started_at", "first_token_at", "ended_at")[
            :SAMPLE_RUNS
        ]
    )
    return Ended(
        counts={(status, code): count for status, code, count in counted},
        first_chunk_s=Distribution.of(_spans((start, first) for _, start, first, _ in sample)),
        duration_s=Distribution.of(_spans((start, end) for _, start, _, end in sample)),
        tokens_per_s=Distribution.of(_speeds([row[0] for row in sample[:SPEED_RUNS]])),
    )


def calls_since(since: datetime) -> dict[tuple[str, str, str], int]:
    """Count the model calls of the runs that ended since then, by provider, model and status."""
    runs = Run.objects.filter(ended_at__gte=since).values("pk")
    calls = ModelCall.objects.filter(run_id__in=runs)
    counted = calls.values_list("provider", "requested_model", "status").annotate(count=Count("pk"))
    return {(provider, model, status): count for provider, model, status, count in counted}


def buckets(*, start: datetime, step: timedelta, count: int) -> list[Bucket]:
    """Cut the time from `start` on into `count` pieces of `step`."""
    return [_bucket(start + step * n, step) for n in range(count)]


def _bucket(at: datetime, step: timedelta) -> Bucket:
    # A query for each: to cut times by an expression, SQLite would call Python for each row.
    ended = Run.objects.filter(ended_at__gte=at, ended_at__lt=at + step)
    counted = ended.values_list("status").annotate(count=Count("pk"))
    newest = ended.filter(first_token_at__isnull=False).order_by("-ended_at")
    times = newest.values_list("started_at", "first_token_at")[:BUCKET_RUNS]
    return Bucket(at=at, counts=dict(counted), first_chunk_s=Distribution.of(_spans(times)))


def _speeds(run_ids: list[Any]) -> list[float]:
    # Of one token there is no speed.
    calls = ModelCall.objects.filter(
        run_id__in=run_ids, completion_tokens__gt=1, ended_at__gt=F("first_token_at")
    )
    rows = calls.values_list("completion_tokens", "first_token_at", "ended_at")
    return [tokens / span for tokens, *times in rows for span in _spans([times])]


def _spans(pairs: Iterable[Sequence[datetime | None]]) -> list[float]:
    """The seconds between the two times of each pair that has both."""
    return [max((end - start).total_seconds(), 0.0) for start, end in pairs if start and end]
