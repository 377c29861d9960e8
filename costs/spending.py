"""What was spent in a time, by provider and model, as the ledger says it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Concat

from costs.models import LedgerEntry, ModelCall
from costs.usage import COMPLETION_CLASSES, PROMPT_CLASSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the calls of one model used and were charged; later corrections are not in it.

    `amount_pico` is None when none had a price.
    """

    provider: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    amount_pico: int | None
    unpriced_calls: int


def since(at: datetime) -> list[Spent]:
    """Sum what calls that were sent since then used and cost."""
    # In one: each of them is looked up for every entry.
    named = Concat("provider", Value(":"), "requested_model")
    call = ModelCall.objects.filter(pk=OuterRef("call_id"))
    rows = (
        LedgerEntry.objects.filter(call_started_at__gte=at, kind__in=("charge", "unpriced"))
        .annotate(called=Subquery(call.values(named=named)))
        .values("called")
        .annotate(
            prompt_tokens=_tokens(PROMPT_CLASSES),
            completion_tokens=_tokens(COMPLETION_CLASSES),
            amount_pico=Sum("amount_pico"),
            unpriced_calls=Count("call_id", filter=Q(kind="unpriced"), distinct=True),
        )
        .order_by("called")
    )
    found = []
    for row in rows:
        provider, _, model = row.pop("called").partition(":")
        found.append(Spent(provider=provider, model=model, **row))
    return found


def _tokens(classes: Iterable[str]) -> Sum:
    return Sum("quantity", filter=Q(token_class__in=classes), default=0)
