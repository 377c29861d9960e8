"""`GET /metrics`: Prometheus reads here how all processes are.

Everything is looked up when it is asked for, in the database and in what the processes say of
themselves, so every web process gives the same answer. What counts as `_total` from the ledger
begins anew at midnight UTC: Prometheus takes that for a restart, and the query stays small.
"""

import secrets
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from chat import api_keys, counters, database, stream_statistics, vitals
from costs import money, spending

RECENT = timedelta(minutes=5)
#: The gauges and totals of single processes, as chat/counters.py names them.
TRANSPORTS: dict[str, counters.Gauge] = {"websocket": "websockets", "sse": "event_streams"}
OF_WORKERS: dict[counters.Gauge, str] = {
    "executing_runs": "Runs that a worker is executing.",
    "run_slots": "Runs that a worker may execute at once.",
}
TOTALS: dict[counters.Total, str] = {
    "events_told": "Events that clients were told.",
    "events_stored": "Events that runs have stored.",
    "log_rereads": "Times a reader went back to the log.",
    "slow_clients_dropped": "Clients that took nothing and were dropped.",
    "layer_messages_lost": "Messages that the channel layer did not take or bring.",
}
Rows = Iterable[tuple[tuple[str, ...], float]]


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Give the metrics to whoever may see them."""
    if not _may_see(request):
        return _refusal()
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(_registry), content_type=content_type)


def _may_see(request: HttpRequest) -> bool:
    # Not by address: behind a proxy everybody comes from the proxy's.
    if settings.AUTH == "open":
        return True
    given = api_keys.given_in(request.headers)
    token = settings.ENV.metrics_token.get_secret_value()
    if token and given and secrets.compare_digest(given.encode(), token.encode()):
        return True
    return request.user.is_staff and request.user.has_perm("chat.view_run")


def _refusal() -> HttpResponse:
    if not settings.ENV.metrics_token.get_secret_value():
        return JsonResponse({"detail": "Not Found", "code": "not_found"}, status=404)
    problem = {"detail": "Send the token of METRICS_TOKEN", "code": "not_authenticated"}
    return JsonResponse(problem, status=401, headers={"WWW-Authenticate": "Bearer"})


class _Collector:
    """Looks everything up anew for each scrape."""

    def collect(self) -> Iterator[Metric]:
        parts: dict[str, float] = {}
        for part, look, away in (
            ("database", _of_database, database.Unavailable),
            ("redis", _of_processes, (redis.RedisError,)),
        ):
            try:
                yield from list(look())
                parts[part] = 1
            except away:
                parts[part] = 0
        rows = [((part,), is_up) for part, is_up in parts.items()]
        yield _gauge("part_up", "Whether a part could be asked.", ("part",), rows)


def _of_database() -> Iterator[Metric]:
    yield from _active()
    yield from _recent()
    yield from _spent()


def _active() -> Iterator[Metric]:
    now = stream_statistics.active()
    rows = [(("queued",), now.queued), (("running",), now.running)]
    yield _gauge("active_runs", "Runs that have not ended.", ("status",), rows)
    yield _gauge("expired_leases", "Running runs whose worker is silent.", (), [((), now.expired)])
    yield _gauge(
        "oldest_queued_run_age_seconds",
        "How long the oldest queued run has waited.",
        (),
        [((), now.oldest_queued_s)],
    )


def _recent() -> Iterator[Metric]:
    since = timezone.now() - RECENT
    ended = stream_statistics.ended_since(since)
    yield _gauge(
        "recent_runs",
        "Runs that ended in the last 5 minutes.",
        ("status", "error_code"),
        ended.counts.items(),
    )
    for name, meaning, found in (
        ("first_chunk_seconds", "From a run's start to its first output", ended.first_chunk_s),
        ("run_duration_seconds", "From a run's start to its end", ended.duration_s),
        ("tokens_per_second", "Output tokens of a model call", ended.tokens_per_s),
    ):
        rows = [((str(q),), value) for q, value in found.by_quantile.items()]
        yield _gauge(f"recent_{name}", f"{meaning}, last 5 minutes.", ("quantile",), rows)
    yield _gauge(
        "recent_model_calls",
        "Model calls of the runs that ended in the last 5 minutes.",
        ("provider", "model", "status"),
        stream_statistics.calls_since(since).items(),
    )


def _spent() -> Iterator[Metric]:
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    spent = spending.since(midnight)
    labels = ("provider", "model")
    tokens = [((s.provider, s.model, "prompt"), s.prompt_tokens) for s in spent]
    tokens += [((s.provider, s.model, "completion"), s.completion_tokens) for s in spent]
    yield _counter("tokens", "Tokens that were charged since midnight.", (*labels, "kind"), tokens)
    costs = [
        # The only place where money becomes a float: the format knows nothing else.
        ((s.provider, s.model), s.amount_pico / money.PICO)
        for s in spent
        if s.amount_pico is not None
    ]
    yield _counter("cost_usd", "US dollars that were charged since midnight.", labels, costs)
    unpriced = [((s.provider, s.model), s.unpriced_calls) for s in spent]
    yield _counter("unpriced_calls", "Calls since midnight without a price.", labels, unpriced)


def _of_processes() -> Iterator[Metric]:
    processes = vitals.of_all()
    roles = [((role,), sum(p.role == role for p in processes)) for role in ("web", "worker")]
    yield _gauge("processes", "Processes that live.", ("role",), roles)
    yield _gauge(
        "open_connections",
        "Clients that are connected to a web process.",
        ("process", "transport"),
        [
            ((p.process, transport), p.count(name))
            for p in processes
            if p.role == "web"
            for transport, name in TRANSPORTS.items()
        ],
    )
    for gauge, meaning in OF_WORKERS.items():
        workers = [((p.process,), p.count(gauge)) for p in processes if p.role == "worker"]
        yield _gauge(gauge, meaning, ("process",), workers)
    for total, meaning in TOTALS.items():
        rows = [((p.process,), p.count(total)) for p in processes]
        yield _counter(total, meaning, ("process",), rows)


def _gauge(name: str, meaning: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    return _filled(GaugeMetricFamily(f"chatledger_{name}", meaning, labels=labels), rows)


def _counter(name: str, meaning: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    return _filled(CounterMetricFamily(f"chatledger_{name}", meaning, labels=labels), rows)


def _filled(family: Any, rows: Rows) -> Metric:
    for values, value in rows:
        family.add_metric(values, value)
    metric: Metric = family
    return metric


_registry = CollectorRegistry()
_registry.register(_Collector())
