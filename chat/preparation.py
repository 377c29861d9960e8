"""What a worker reads before an attempt: the conversation, and what the attempts before left."""

from dataclasses import dataclass
from typing import Any

from chat import endings, parts, sessions
from chat.agent import catalog
from chat.agent.history import Turn
from chat.events import CancelReason
from chat.leases import Claim
from chat.models import Run
from costs import budgets, ledger
from costs.tariffs import Tariff


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The conversation and what is known beside it, and what has become of the run before."""

    turns: list[Turn]
    context: dict[str, Any]
    #: What the attempts before have cost.
    carried: ledger.Total
    tariff: Tariff
    #: Why the run is to be stopped before it begins.
    cancelled: CancelReason | None


def prepare(claim: Claim) -> Prepared:
    """Close what an attempt before has left open, and read what this one needs."""
    place = claim.place
    if place.attempt > 1:
        endings.abandon_calls(place.run_id)
        for call in ledger.calls_of_run(place.run_id):
            budgets.settle(call.pk)
    run = Run.objects.select_related("session").get(pk=place.run_id)
    history = sessions.history_of(run)
    return Prepared(
        turns=[Turn(message.role, parts.load(message.parts)) for message in history],
        context=run.session.context,
        carried=ledger.total_of_run(place.run_id) if place.attempt > 1 else ledger.NOTHING,
        tariff=catalog.tariff(claim.model.partition(":")[0]),
        cancelled=run.requested_cancel,
    )
