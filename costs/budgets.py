"""Budgets: set aside what a call may cost before it is sent, and settle it when it is charged.

What is set aside is never more than what is left, under a lock on the budget's row, so that calls
which start at the same time cannot spend the same money. Locks are taken in the order of the rows.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import DateTimeField, Exists, ExpressionWrapper, OuterRef, Q, Value
from django.db.models.functions import Now

from costs import budget_windows
from costs.budget_models import Budget, BudgetHold, BudgetWindow
from costs.budget_windows import Spender, charged_pico, locked, starts_on
from costs.models import LedgerEntry, ModelCall

#: A hold that is older than this without an open call is left over from a process that died.
LEFT_OVER_AFTER = timedelta(minutes=1)
Scope = Budget.Scope
_WHOSE: dict[str, str] = {
    Scope.EVERYTHING: "The whole budget",
    Scope.USER: "Your budget",
    Scope.API_KEY: "The API key's budget",
    Scope.SESSION: "This conversation's budget",
    Scope.MODEL: "The model's budget",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a client may know of a budget that is nearly or wholly used."""

    scope: str
    period: str
    percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a call may cost in whole pico-USD, None for anything; and what to warn of."""

    pico: int | None
    #: Whether budgets wait to be told what it did cost.
    is_held: bool = False
    warnings: tuple[Notice, ...] = ()


class Exceeded(Exception):
    """A budget has no room for the call."""

    def __init__(self, notice: Notice) -> None:
        is_daily = notice.period == Budget.Period.DAY
        time, anew = ("today", "at 0:00 UTC") if is_daily else ("this month", "with the next one")
        whose = _WHOSE[notice.scope]
        super().__init__(
            f"{whose} for {time} has not enough left for this. It begins anew {anew};"
            " an operator can grant more before."
        )
        self.notice = notice


class PriceUnknown(Exception):
    """A budget allows no model whose price is not known."""


def hold(
    *,
    call_id: uuid.UUID,
    spender: Spender,
    at: datetime,
    least_pico: int | None,
    most_pico: int | None,
) -> Grant:
    """Set aside what a call may cost, in all budgets that it falls under.

    It gets between `least_pico`, below which it is not worth sending, and `most_pico`. Both are
    None when the price is not known. Asked for again, it gets what it had. Raises Exceeded or
    PriceUnknown, and sets nothing aside then.
    """
    keys = spender.keys()
    budgets = budget_windows.budgets_of(keys)
    if not budgets:
        return Grant(pico=None)
    # Made in any case, so that an operator finds where to grant more.
    pks = [budget_windows.window_of(budget, keys, at).pk for budget in budgets]
    with transaction.atomic():
        windows = locked(pks)
        if held := BudgetHold.objects.filter(call_id=call_id).first():
            # The answer to the first try was lost.
            pico = None if most_pico is None else held.pico
            return Grant(pico=pico, is_held=True, warnings=_warnings(windows))
        tightest = min(windows, key=lambda window: window.left_pico)
        if least_pico is None or most_pico is None:
            if not all(window.budget.allows_unpriced for window in windows):
                raise PriceUnknown
            if tightest.left_pico <= 0:
                raise Exceeded(_notice(tightest))
            # Nothing is known to set aside; what it is charged in the end counts all the same.
            _set_aside(call_id, windows, 0)
            return Grant(pico=None, is_held=True, warnings=_warnings(windows))
        granted = min(most_pico, tightest.left_pico)
        if granted < least_pico:
            raise Exceeded(_notice(tightest))
        _set_aside(call_id, windows, granted)
        return Grant(pico=granted, is_held=True, warnings=_warnings(windows))


@transaction.atomic
def extend(*, call_id: uuid.UUID, more_pico: int) -> int:
    """Set aside up to `more_pico` more for an open call; gives how much it was.

    Raises Exceeded when nothing is left.
    """
    held = BudgetHold.objects.filter(call_id=call_id)
    windows = locked(held.values_list("window_id", flat=True))
    if not windows:
        return more_pico  # the budgets have been deleted meanwhile
    tightest = min(windows, key=lambda window: window.left_pico)
    granted = min(more_pico, tightest.left_pico)
    if granted <= 0:
        raise Exceeded(_notice(tightest))
    _set_aside(call_id, windows, granted)
    return granted


@transaction.atomic
def settle(call_id: uuid.UUID) -> None:
    """Put what a call was charged in the place of what was set aside; a second time does nothing.

    To be called after the call's entries are committed.
    """
    # Whoever corrects the call's charge at the same time has locked it.
    ModelCall.objects.select_for_update().filter(pk=call_id).first()
    held = BudgetHold.objects.filter(call_id=call_id)
    windows = {window.pk: window for window in locked(held.values_list("window_id", flat=True))}
    # Read again under the locks: somebody else may have settled it meanwhile.
    holds = list(held.filter(window__in=windows))
    spent = charged_pico(LedgerEntry.objects.filter(call_id=call_id)) if holds else 0
    for one in holds:
        window = windows[one.window_id]
        window.held_pico -= one.pico
        window.spent_pico += spent
        window.save(update_fields=["held_pico", "spent_pico"])
        one.delete()


def settle_left_over() -> None:
    """Settle what processes that died have left: their calls are closed, or were never opened."""
    left_over_at = ExpressionWrapper(Now() - Value(LEFT_OVER_AFTER), output_field=DateTimeField())
    old = BudgetHold.objects.filter(made_at__lt=left_over_at)
    is_open = ModelCall.objects.filter(pk=OuterRef("call_id"), status=ModelCall.Status.OPEN)
    left_over = old.filter(~Exists(is_open)).values_list("call_id", flat=True)
    for call_id in set(left_over[:500]):
        settle(call_id)


@transaction.atomic
def correct(call: ModelCall, *, by_pico: int) -> None:
    """Count a later correction of a call's charge where the call was counted."""
    matching = Q()
    for scope, key in _spender_of(call).keys().items():
        matching |= Q(budget__scope=scope, key=key)
    starts = {starts_on(period, call.started_at) for period in Budget.Period.values}
    unsettled = BudgetHold.objects.filter(window=OuterRef("pk"), call_id=call.pk)
    counted = BudgetWindow.objects.filter(matching, ~Exists(unsettled), starts_on__in=starts)
    for window in locked(counted.values_list("pk", flat=True)):
        if window.starts_on == starts_on(window.budget.period, call.started_at):
            window.spent_pico += by_pico
            window.save(update_fields=["spent_pico"])


def _set_aside(call_id: uuid.UUID, windows: Iterable[BudgetWindow], pico: int) -> None:
    for window in windows:
        window.held_pico += pico
        window.save(update_fields=["held_pico"])
        held, is_new = BudgetHold.objects.get_or_create(
            call_id=call_id, window=window, defaults={"pico": pico}
        )
        if not is_new:
            held.pico += pico
            held.save(update_fields=["pico"])


def _warnings(windows: Iterable[BudgetWindow]) -> tuple[Notice, ...]:
    return tuple(
        _notice(window) for window in windows if window.percent >= window.budget.soft_percent
    )


def _notice(window: BudgetWindow) -> Notice:
    budget = window.budget
    return Notice(scope=budget.scope, period=budget.period, percent=window.percent)


def _spender_of(call: ModelCall) -> Spender:
    return Spender(
        owner_key=call.owner_key,
        session_key=call.session_key,
        model=f"{call.provider}:{call.requested_model}",
        api_key=call.api_key,
    )
