"""How long models take to begin and to end, as percentiles of the newest calls."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import F

from costs import facts
from costs.models import ModelCall
from costs.report_query import Query

#: So many calls are looked at, however many there are.
NEWEST_CALLS = 10_000
MODELS = 50
MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Whole milliseconds; None where nothing was measured."""

    p50: int | None
    p95: int | None
    p99: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Of complete calls: from the request to the first token, and to the end."""

    #: As provider:model; empty is all together.
    model: str
    calls: int
    first_token_ms: Percentiles
    duration_ms: Percentiles


def read(asked: Query) -> list[Latency]:
    """Measure the newest complete calls of a report's days, all together and then by model."""
    calls = ModelCall.objects.filter(
        started_at__gte=facts.start_of(asked.first),
        started_at__lt=facts.start_of(asked.end),
        status=ModelCall.Status.COMPLETE,
    )
    if asked.owner_key is not None:
        calls = calls.filter(owner_key=asked.owner_key)
    first_ms: dict[str, list[int]] = defaultdict(list)
    duration_ms: dict[str, list[int]] = defaultdict(list)
    newest = calls.order_by("-started_at").values_list(
        "provider",
        "requested_model",
        F("first_token_at") - F("started_at"),
        F("ended_at") - F("started_at"),
    )[:NEWEST_CALLS]
    for provider, model, to_first_token, to_end in newest:
        for name in ("", f"{provider}:{model}"):
            if to_first_token is not None:
                first_ms[name].append(to_first_token // MILLISECOND)
            duration_ms[name].append(to_end // MILLISECOND)
    by_calls = sorted(duration_ms, key=lambda name: (-len(duration_ms[name]), name))
    return [
        Latency(
            model=name,
            calls=len(duration_ms[name]),
            first_token_ms=_percentiles(first_ms[name]),
            duration_ms=_percentiles(duration_ms[name]),
        )
        for name in by_calls[: MODELS + 1]
    ]


def _percentiles(measured: Sequence[int]) -> Percentiles:
    """The smallest value that so many per cent do not exceed."""
    ranked = sorted(measured)

    def at(percent: int) -> int | None:
        return ranked[-(-len(ranked) * percent // 100) - 1] if ranked else None

    return Percentiles(p50=at(50), p95=at(95), p99=at(99))
