"""The page on which operators see how the streams go, in the admin."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from chat import charts, stream_statistics, vitals
from chat.models import Run
from chat.stream_statistics import Active, Bucket, Distribution, Ended
from chat.views import CONTENT_SECURITY_POLICY
from chat.vitals import Vitals
from costs import money, spending


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A time to look back, and the pieces that it is shown in."""

    name: str
    step: timedelta
    count: int

    def start(self, now: datetime) -> datetime:
        """When the first piece begins, so that the last one is the one that goes on now."""
        seconds = int(self.step.total_seconds())
        into = timedelta(seconds=now.timestamp() % seconds)
        return now - into - self.step * (self.count - 1)


PERIODS = {
    "hour": Period(name="last hour", step=timedelta(minutes=5), count=12),
    "day": Period(name="last day", step=timedelta(hours=1), count=24),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that is shown large."""

    name: str
    value: str
    detail: str = ""
    is_bad: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture and the same as a table."""

    title: str
    svg: SafeString
    series: Iterable[str]
    rows: Sequence[Sequence[str]]
    is_empty: bool


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show the streams of the last hour or day."""
    if not request.user.has_perm("chat.view_run"):
        raise PermissionDenied
    chosen = request.GET.get("period", "hour")
    period = PERIODS.get(chosen, PERIODS["hour"])
    start = period.start(timezone.now())
    ended = stream_statistics.ended_since(start)
    pieces = stream_statistics.buckets(start=start, step=period.step, count=period.count)
    processes = _processes()
    context = {
        **admin.site.each_context(request),
        "title": "Streams",
        "period": period,
        "periods": PERIODS,
        "figures": [
            *_figures_now(stream_statistics.active(), processes),
            *_figures_of(ended),
        ],
        "charts": [_runs_chart(pieces), _latency_chart(pieces)],
        "errors": sorted((code, n) for (_, code), n in ended.counts.items() if code),
        "processes": processes,
        "spent": [
            (spent, money.plain_or_none(spent.amount_pico)) for spent in spending.since(start)
        ],
    }
    response = render(request, "admin/streams.html", context)
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


def _processes() -> list[Vitals] | None:
    """What the processes say of themselves; None when Redis does not answer."""
    try:
        return vitals.of_all()
    except redis.RedisError:
        return None


def _figures_now(active: Active, processes: list[Vitals] | None) -> list[Figure]:
    waits = f"the oldest for {active.oldest_queued_s:.1f} s" if active.queued else ""
    silent = f"{active.expired} of a silent worker" if active.expired else ""
    told = [
        Figure("running now", str(active.running), silent, is_bad=active.expired > 0),
        Figure("queued now", str(active.queued), waits, is_bad=active.oldest_queued_s > 10),
    ]
    if processes is None:
        return [*told, Figure("connections", "–", "Redis does not answer", is_bad=True)]
    sockets = sum(process.count("websockets") for process in processes)
    streams = sum(process.count("event_streams") for process in processes)
    dropped = sum(process.count("slow_clients_dropped") for process in processes)
    workers = sum(process.role == "worker" for process in processes)
    return [
        *told,
        Figure("connections", str(sockets + streams), f"{sockets} WebSocket, {streams} SSE"),
        Figure("slow clients dropped", str(dropped), "since the processes started"),
        Figure("workers", str(workers), "" if workers else "nothing is executed", not workers),
    ]


def _figures_of(ended: Ended) -> list[Figure]:
    failed = ended.count(Run.Status.FAILED)
    total = sum(ended.counts.values())
    share = f"{failed / total:.1%} of {total}" if total else ""
    return [
        Figure("finished", str(ended.count(Run.Status.FINISHED))),
        Figure("failed", str(failed), share, is_bad=failed > 0),
        Figure("cancelled", str(ended.count(Run.Status.CANCELLED))),
        _quantiles("seconds to the first output", ended.first_chunk_s),
        _quantiles("seconds to the end", ended.duration_s),
        _quantiles("tokens/s of a model call", ended.tokens_per_s),
    ]


def _quantiles(name: str, found: Distribution) -> Figure:
    if not found.by_quantile:
        return Figure(name, "–")
    median, *rest = (_short(value) for value in found.by_quantile.values())
    return Figure(name, median, "median; p95 {}, p99 {}".format(*rest))


def _runs_chart(pieces: list[Bucket]) -> Chart:
    statuses = [status.value for status in Run.TERMINAL]
    series = {status: [p.counts.get(status, 0) for p in pieces] for status in statuses}
    title = "Runs that ended"
    svg = charts.bars(title, labels=_labels(pieces), series=series)
    is_empty = not any(piece.counts for piece in pieces)
    return Chart(title=title, svg=svg, series=series, rows=_rows(pieces, series), is_empty=is_empty)


def _latency_chart(pieces: list[Bucket]) -> Chart:
    found = [piece.first_chunk_s.by_quantile for piece in pieces]
    series = {"median": [f.get(0.5) for f in found], "p95": [f.get(0.95) for f in found]}
    title = "Seconds to the first output"
    svg = charts.lines(title, labels=_labels(pieces), series=series)
    is_empty = not any(found)
    return Chart(title=title, svg=svg, series=series, rows=_rows(pieces, series), is_empty=is_empty)


def _rows(pieces: list[Bucket], series: Mapping[str, charts.Values]) -> list[list[str]]:
    values = zip(_labels(pieces), *series.values(), strict=True)
    return [[label, *map(_short, row)] for label, *row in values]


def _labels(pieces: list[Bucket]) -> list[str]:
    return [f"{piece.at:%H:%M}" for piece in pieces]


def _short(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
