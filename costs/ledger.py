"""The only writer of model calls and ledger entries, and the reader of their sums.

Every function here is to be called inside the transaction that stores the events of the same
moment, so that what was said and what it cost are kept together or not at all.
"""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone

from costs import money, posting, pricing
from costs.models import STANDS, UNPRICED, CostReset, LedgerEntry, ModelCall
from costs.pricing import Price
from costs.usage import COMPLETION_CLASSES, PROMPT_CLASSES, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Who and what a call is charged to; plain keys, valid after their objects are gone."""

    run_id: uuid.UUID
    attempt: int
    session_key: str
    owner_key: str
    #: The number of the API key that asked, or "".
    api_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """How a model call ended and what it used; `usage` is None when nothing was generated."""

    call_id: uuid.UUID
    status: ModelCall.Status
    usage: Usage | None
    usage_source: ModelCall.UsageSource
    usage_raw: dict[str, Any]
    #: The price of what was served, or None when it is not known.
    price: Price | None
    service_tier: str = ""
    #: What the provider says that it charges, in whole 1e-12 USD.
    stated_pico: int | None = None
    served_model: str = ""
    provider_request_id: str = ""
    error_code: str = ""
    flags: tuple[str, ...] = ()
    first_token_at: datetime | None = None
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """A sum over entries. `amount_pico` is None when nothing at all has a price."""

    amount_pico: int | None
    prompt_tokens: int
    completion_tokens: int
    is_estimated: bool
    unpriced_calls: int

    @property
    def amount(self) -> str | None:
        return money.plain_or_none(self.amount_pico)


def open_call(
    *,
    call_id: uuid.UUID,
    payer: Payer,
    provider: str,
    model: str,
    price: Price | None,
    prompt: Usage,
    started_at: datetime,
    tool: str = "",
) -> None:
    """Record that a request is about to be sent, so that a crash cannot hide it.

    `prompt` is the estimate of what it sends, which is billed whatever comes back; `tool` names
    those whose results it answers.
    """
    ModelCall.objects.create(
        id=call_id,
        run_id=payer.run_id,
        attempt=payer.attempt,
        session_key=payer.session_key,
        owner_key=payer.owner_key,
        api_key=payer.api_key,
        provider=provider,
        requested_model=model,
        tool=tool[:160],
        price=posting.snapshot(price) if price else None,
        usage_source=ModelCall.UsageSource.ESTIMATED,
        usage_by_class=prompt.by_class(),
        prompt_tokens=prompt.prompt_tokens,
        started_at=started_at,
    )


def keep_usage(*, call_id: uuid.UUID, usage: Usage, first_token_at: datetime | None) -> None:
    """Keep what an open call has used so far, for the case that its worker dies."""
    ModelCall.objects.filter(id=call_id, status=ModelCall.Status.OPEN).update(
        usage_by_class=usage.by_class(),
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        usage_source=ModelCall.UsageSource.ESTIMATED,
        first_token_at=first_token_at,
    )


def close_call(result: CallResult) -> None:
    """Close a call and charge it.

    A call that is closed already stays as it is, unless it was charged by an estimate and this is
    the provider's count: then the estimate is reversed and what is true is posted.
    """
    call = locked(result.call_id)
    if call.status == ModelCall.Status.OPEN:
        call.status = result.status
        call.error_code = result.error_code
        call.flags = list(result.flags)
        call.first_token_at = result.first_token_at
        call.ended_at = result.ended_at
        _take_usage(call, result)
        posting.charge(call)
    elif _is_truth(call, result):
        call.flags = [*result.flags, "reconciled"]
        _take_usage(call, result)
        posting.correct(call)


def _is_truth(call: ModelCall, result: CallResult) -> bool:
    counted = ModelCall.UsageSource.PROVIDER
    return result.usage_source == counted and call.usage_source != counted


def _take_usage(call: ModelCall, result: CallResult) -> None:
    usage = result.usage or Usage()
    call.usage_source = result.usage_source
    call.usage_raw = result.usage_raw
    call.usage_by_class = usage.by_class()
    call.prompt_tokens = usage.prompt_tokens
    call.completion_tokens = usage.completion_tokens
    call.served_model = result.served_model[:160]
    call.service_tier = result.service_tier[:20]
    call.provider_request_id = result.provider_request_id[:160]
    call.stated_pico = result.stated_pico
    price = result.price
    if result.stated_pico is not None:
        model = result.served_model or call.requested_model
        price = pricing.stated(price, provider=call.provider, model=model)
    call.price = posting.snapshot(price) if price else None
    call.save(force_update=True)


def locked(call_id: uuid.UUID) -> ModelCall:
    """A call whose entries nobody else writes until the end of the transaction."""
    return ModelCall.objects.select_for_update(of=("self",)).select_related("price").get(id=call_id)


@transaction.atomic
def abandon_calls(*, run_id: uuid.UUID, shown: Callable[[], int]) -> None:
    """Close what a dead worker left open, and charge what it had used: it was billed.

    `shown` gives the output tokens that the whole run has shown. What was kept of an open call
    may be older than that.
    """
    left = ModelCall.objects.select_for_update().filter(run_id=run_id, status=ModelCall.Status.OPEN)
    for call in left:
        others = ModelCall.objects.filter(run_id=run_id).exclude(pk=call.pk)
        elsewhere = others.aggregate(tokens=Sum("completion_tokens"))["tokens"] or 0
        kept = Usage(**call.usage_by_class)
        usage = replace(kept, output=max(kept.output, shown() - elsewhere))
        call.status = ModelCall.Status.ABANDONED
        call.flags = [*call.flags, "billing_uncertain"]
        call.usage_by_class = usage.by_class()
        call.completion_tokens = usage.completion_tokens
        call.ended_at = timezone.now()
        call.save(force_update=True)
        posting.charge(call)


def total_of_run(run_id: uuid.UUID) -> Total:
    """Sum the charges of one run over all its attempts."""
    return totals_by_run([run_id]).get(run_id, NOTHING)


def totals_by_run(run_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Total]:
    """Sum the charges of several runs, in one query for the money and one for the tokens."""
    ids = list(run_ids)
    return _totals("run_id", Q(run_id__in=ids))


def total_of_session(session_key: str) -> Total:
    """Sum the charges of a chat session."""
    return _totals("session_key", Q(session_key=session_key)).get(session_key, NOTHING)


def total_of_owner(owner_key: str, *, session_key: str | None = None) -> Total:
    """Sum what was charged to an owner since his last reset, or of that to one of his sessions."""
    entries = LedgerEntry.objects.filter(owner_key=owner_key)
    if session_key is not None:
        entries = entries.filter(session_key=session_key)
    reset = CostReset.objects.filter(owner_key=owner_key).order_by("-at", "-pk").first()
    if reset:
        # By the call's start: what corrects an entry later belongs where the entry does.
        entries = entries.filter(call_started_at__gt=reset.at)
    found = entries.aggregate(
        amount=Sum("amount_pico"),
        prompt=Sum("quantity", filter=Q(token_class__in=PROMPT_CLASSES)),
        completion=Sum("quantity", filter=Q(token_class__in=COMPLETION_CLASSES)),
        estimates=Count("id", filter=Q(is_estimate=True) & STANDS),
        unpriced=Count("call_id", filter=UNPRICED, distinct=True),
    )
    return Total(
        amount_pico=found["amount"],
        prompt_tokens=found["prompt"] or 0,
        completion_tokens=found["completion"] or 0,
        is_estimated=bool(found["estimates"]),
        unpriced_calls=found["unpriced"],
    )


def reset(owner_key: str) -> None:
    """Let the owner's totals begin anew; what was charged stays where it is."""
    # By this process's clock, as the calls are: the database's may have another precision.
    CostReset.objects.create(owner_key=owner_key, at=timezone.now())


def last_model(owner_key: str) -> str | None:
    """The model that the owner's newest call asked for."""
    calls = ModelCall.objects.filter(owner_key=owner_key).order_by("-started_at")
    return calls.values_list("requested_model", flat=True).first()


def calls_of_run(run_id: uuid.UUID) -> list[ModelCall]:
    """The model calls of a run in the order they were made."""
    return list(ModelCall.objects.filter(run_id=run_id).order_by("started_at", "id"))


def calls_of_session(session_key: str) -> list[ModelCall]:
    """The model calls of a chat session in the order they were made."""
    return list(ModelCall.objects.filter(session_key=session_key).order_by("started_at", "id"))


NOTHING = Total(
    amount_pico=None, prompt_tokens=0, completion_tokens=0, is_estimated=False, unpriced_calls=0
)


def _totals(field: str, where: Q) -> dict[Any, Total]:
    calls = (
        ModelCall.objects.filter(where)
        .values(field)
        .annotate(
            prompt=Sum("prompt_tokens"),
            completion=Sum("completion_tokens"),
            estimates=Count("id", filter=~Q(usage_source="provider") & Q(prompt_tokens__gt=0)),
        )
    )
    money_rows = (
        LedgerEntry.objects.filter(where)
        .values(field)
        .annotate(
            amount=Sum("amount_pico"),
            unpriced=Count("call_id", filter=UNPRICED, distinct=True),
        )
    )
    amounts = {row[field]: row for row in money_rows}
    return {row[field]: _total(row, amounts.get(row[field])) for row in calls}


def _total(calls: dict[str, Any], entries: dict[str, Any] | None) -> Total:
    return Total(
        amount_pico=entries["amount"] if entries else None,
        prompt_tokens=calls["prompt"] or 0,
        completion_tokens=calls["completion"] or 0,
        is_estimated=bool(calls["estimates"]),
        unpriced_calls=entries["unpriced"] if entries else 0,
    )
