"""Makes calls of a provider "p" and closes them, as a worker does."""

import uuid
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from costs import ledger, pricing
from costs.ledger import CallResult, Payer
from costs.models import ModelCall
from costs.pricing import Price
from costs.usage import Usage

PRICE = pricing.flat_price(source="test", provider="p", model="m", input="1", output="4")
ESTIMATED = ModelCall.UsageSource.ESTIMATED
START = datetime(2026, 11, 1, 12, tzinfo=UTC)


def payer() -> Payer:
    """Somebody who runs something."""
    return Payer(run_id=uuid.uuid4(), attempt=1, session_key="u/s", owner_key="u")


def opened(
    by: Payer, *, price: Price | None = PRICE, model: str = "m", at: datetime = START
) -> uuid.UUID:
    call_id = uuid.uuid4()
    ledger.open_call(
        call_id=call_id,
        payer=by,
        provider="p",
        model=model,
        price=price,
        prompt=Usage(input=7),
        started_at=at,
    )
    return call_id


def close(
    call_id: uuid.UUID,
    usage: Usage | None,
    *,
    price: Price | None = PRICE,
    source: ModelCall.UsageSource = ModelCall.UsageSource.PROVIDER,
    **more: Any,
) -> None:
    ledger.close_call(
        CallResult(
            call_id=call_id,
            status=ModelCall.Status(more.pop("status", "complete")),
            usage=usage,
            usage_source=source,
            usage_raw={},
            price=price,
            ended_at=timezone.now(),
            **more,
        )
    )


def made(
    by: Payer, usage: Usage, *, at: datetime = START, model: str = "m", **more: Any
) -> uuid.UUID:
    """A call from its beginning to its end."""
    call_id = opened(by, price=more.get("price", PRICE), at=at, model=model)
    close(call_id, usage, **more)
    return call_id
