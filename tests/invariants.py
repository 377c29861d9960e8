"""What must hold of a session whose runs have all ended."""

from decimal import Decimal

from chat import audit, events
from chat.models import ChatSession
from costs import audit as costs_audit
from costs.models import ModelCall
from tests import driving


def check_session(session: ChatSession) -> None:
    """Check every invariant that `manage.py audit` checks, and the cost that was shown live."""
    session.refresh_from_db()
    assert audit.of_session(session) == []
    runs = session.runs.all()
    assert not any(run.is_active for run in runs)
    calls = list(ModelCall.objects.filter(run_id__in=[run.pk for run in runs]))
    assert list(costs_audit.of_calls(calls)) == []
    log = driving.log_of(session)
    for run in runs:
        _check_live_cost([e.event for e in log if e.run_id == str(run.pk)])


def _check_live_cost(said: list[events.Event]) -> None:
    """The cost told never falls within a call, only when the call is reconciled."""
    last = Decimal(0)
    for event in said:
        if isinstance(event, events.ModelCallFinished):
            last = Decimal(0)
        cost = getattr(event, "cost", None) if event.type in events.DELTA_TYPES else None
        if cost is not None:
            assert Decimal(cost) >= last
            last = Decimal(cost)
