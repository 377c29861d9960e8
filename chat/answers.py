"""Domain objects as the REST API shows them. All functions here read the database."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from chat import parts
from chat.agent import catalog
from chat.models import ChatSession, Message, Run
from chat.schemas import (
    CallOut,
    ClassCharge,
    CostComparison,
    ModelCost,
    ModelList,
    ModelOut,
    ModelPrice,
    RunCosts,
    RunError,
    RunOut,
    SessionCosts,
    StreamOut,
    Timings,
    UsageOut,
)
from costs import charges, comparison, ledger, money
from costs.charges import Charge
from costs.comparison import Alternative, Used
from costs.models import ModelCall
from costs.usage import CLASSES


def run(found: Run) -> RunOut:
    """A run with its usage, cost and model calls."""
    total = ledger.total_of_run(found.pk)
    charged = charges.by_call_of_run(found.pk)
    calls = [_call(call, charged.get(call.pk, ())) for call in ledger.calls_of_run(found.pk)]
    return RunOut(
        run_id=found.pk,
        session_id=found.session.session_id,
        status=found.status,
        model=found.model,
        attempt=found.attempt,
        usage=_sum([call.usage for call in calls]),
        cost=total.amount,
        currency="USD",
        estimated=total.is_estimated,
        unpriced_calls=total.unpriced_calls,
        charges=_charges(charges.of_run(found.pk)),
        calls=calls,
        timings=Timings(
            created_at=found.created_at,
            started_at=found.started_at,
            first_token_at=found.first_token_at,
            ended_at=found.ended_at,
        ),
        stream=stream(found),
        error=_error(found),
    )


def stream(found: Run) -> StreamOut:
    """What the stream of a run's answer was like."""
    answers = found.messages.filter(role=Message.Role.ASSISTANT)
    stored = answers.values_list("parts", flat=True).first()
    return StreamOut(
        first_chunk_latency_s=_seconds(found.started_at, found.first_token_at),
        total_chunks=found.total_chunks,
        total_chars=None if stored is None else len(parts.text_of(parts.load(stored))),
        duration_s=_seconds(found.started_at, found.ended_at),
    )


def session_costs(session: ChatSession) -> SessionCosts:
    """What a session has cost, in all and run by run."""
    total = ledger.total_of_session(session.ledger_key)
    run_ids = list(session.runs.order_by("queued_seq").values_list("pk", flat=True))
    by_run = ledger.totals_by_run(run_ids)
    return SessionCosts(
        session_id=session.session_id,
        total=total.amount,
        prompt_tokens=total.prompt_tokens,
        completion_tokens=total.completion_tokens,
        estimated=total.is_estimated,
        unpriced_calls=total.unpriced_calls,
        charges=_charges(charges.of_session(session.ledger_key)),
        runs=[
            RunCosts(
                run_id=run_id,
                cost=of_run.amount,
                estimated=of_run.is_estimated,
                prompt_tokens=of_run.prompt_tokens,
                completion_tokens=of_run.completion_tokens,
            )
            for run_id in run_ids
            if (of_run := by_run.get(run_id))
        ],
    )


def run_comparison(found: Run, models: Iterable[str]) -> CostComparison:
    """What a run would have cost on the models of `models()` and on those that are named."""
    calls = ledger.calls_of_run(found.pk)
    return _comparison(calls, ledger.total_of_run(found.pk), models)


def session_comparison(session: ChatSession, models: Iterable[str]) -> CostComparison:
    """What a session would have cost on the models of `models()` and on those that are named."""
    calls = ledger.calls_of_session(session.ledger_key)
    return _comparison(calls, ledger.total_of_session(session.ledger_key), models)


def _comparison(
    calls: Sequence[ModelCall], total: ledger.Total, models: Iterable[str]
) -> CostComparison:
    ended = [
        Used(by_class=call.usage_by_class, started_at=call.started_at)
        for call in calls
        if call.status != ModelCall.Status.OPEN
    ]
    names = [offer.model for offer in catalog.offers()]
    found = comparison.compare(ended, catalog.prices([*names, *models]))
    charged_pico = None if total.unpriced_calls else total.amount_pico
    return CostComparison(
        cost=total.amount,
        estimated=total.is_estimated,
        unpriced_calls=total.unpriced_calls,
        models=[_model_cost(alternative, charged_pico) for alternative in found],
    )


def _model_cost(alternative: Alternative, charged_pico: int | None) -> ModelCost:
    difference_pico = None
    if alternative.amount_pico is not None and charged_pico is not None:
        difference_pico = alternative.amount_pico - charged_pico
    return ModelCost(
        model=alternative.model,
        cost=alternative.amount,
        difference=money.plain_or_none(difference_pico),
    )


def models() -> ModelList:
    """The models that can be used now, with their prices."""
    default = catalog.default_model()
    items = [
        ModelOut(
            model=offer.model,
            provider=offer.provider,
            name=offer.name,
            is_default=offer.model == default,
            supports_tools=offer.has_tools,
            price=_price(offer),
        )
        for offer in catalog.offers()
    ]
    return ModelList(items=items, default=default)


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return round((end - start).total_seconds(), 3) if start and end else None


def _price(offer: catalog.Offer) -> ModelPrice | None:
    if offer.input_price is None or offer.output_price is None:
        return None
    return ModelPrice(input=offer.input_price, output=offer.output_price)


def _call(call: ModelCall, charged: Iterable[Charge]) -> CallOut:
    return CallOut(
        call_id=call.pk,
        attempt=call.attempt,
        provider=call.provider,
        model=call.requested_model,
        served_model=call.served_model,
        tool=call.tool,
        status=call.status,
        usage_source=call.usage_source,
        usage=UsageOut(
            prompt_tokens=call.prompt_tokens,
            completion_tokens=call.completion_tokens,
            total_tokens=call.prompt_tokens + call.completion_tokens,
            by_class=call.usage_by_class,
        ),
        charges=_charges(charged),
        flags=call.flags,
        error_code=call.error_code,
        started_at=call.started_at,
        ended_at=call.ended_at,
    )


def _charges(charged: Iterable[Charge]) -> list[ClassCharge]:
    return [
        ClassCharge(token_class=charge.token_class, quantity=charge.quantity, cost=charge.amount)
        for charge in charged
    ]


def _sum(usages: list[UsageOut]) -> UsageOut:
    by_class = {
        name: count
        for name in CLASSES
        if (count := sum(usage.by_class.get(name, 0) for usage in usages))
    }
    return UsageOut(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        total_tokens=sum(usage.total_tokens for usage in usages),
        by_class=by_class,
    )


def _error(found: Run) -> RunError | None:
    if not found.error_code:
        return None
    return RunError(code=found.error_code, detail=found.error_detail)
