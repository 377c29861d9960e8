"""Budgets: set aside what a call may cost before it is sent, and settle it when it is charged.

What is set aside is never more than what is left, under a lock on the budget's row, so that calls
which start at the same time cannot spend the same money. Locks are taken in the order of the rows.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction
from django.db.models import (
    DateTimeField,
    Exists,
    ExpressionWrapper,
    OuterRef,
    Q,
    QuerySet,
    Sum,
    Value,
)
from django.db.models.functions import Now
from django.utils import timezone

from costs.budget_models import Budget, BudgetHold, BudgetWindow
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
class Spender:
    """Who spends and on what, in the words of the budgets' keys."""

    owner_key: str
    session_key: str
    #: `<provider>:<model>` as asked for.
    model: str
    #: The number of the API key that asked, or "".
    api_key: str = ""

    def keys(self) -> dict[str, str]:
        """The key of each scope that this spender falls under."""
        named: dict[str, str] = {
            Scope.EVERYTHING: "",
            Scope.USER: self.owner_key,
            Scope.SESSION: self.session_key,
            Scope.MODEL: self.model,
        }
        return named | ({Scope.API_KEY: self.api_key} if self.api_key else {})


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
        time = "today" if notice.period == Budget.Period.DAY else "this month"
        super().__init__(f"{_WHOSE[notice.scope]} for {time} has no room for this.")
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
    budgets = _budgets_of(spender)
    if not budgets:
        return Grant(pico=None)
    # Made in any case, so that an operator finds where to grant more.
    pks = [_window(budget, spender, at).pk for budget in budgets]
    with transaction.atomic():
        windows = _locked(pks)
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
    windows = _locked(held.values_list("window_id", flat=True))
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
    windows = {window.pk: window for window in _locked(held.values_list("window_id", flat=True))}
    # Read again under the locks: somebody else may have settled it meanwhile.
    holds = list(held.filter(window__in=windows))
    spent = _charged(LedgerEntry.objects.filter(call_id=call_id)) if holds else 0
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
    starts = {_starts_on(period, call.started_at) for period in Budget.Period.values}
    unsettled = BudgetHold.objects.filter(window=OuterRef("pk"), call_id=call.pk)
    counted = BudgetWindow.objects.filter(matching, ~Exists(unsettled), starts_on__in=starts)
    for window in _locked(counted.values_list("pk", flat=True)):
        if window.starts_on == _starts_on(window.budget.period, call.started_at):
            window.spent_pico += by_pico
            window.save(update_fields=["spent_pico"])


def recount_all(scope: str, period: str) -> None:
    """Count anew how all budgets of a kind stand in the running period: one of them has changed."""
    current = _starts_on(period, timezone.now())
    windows = BudgetWindow.objects.filter(
        budget__scope=scope, budget__period=period, starts_on=current
    )
    for window in windows:
        recount(window)


@transaction.atomic
def recount(window: BudgetWindow) -> None:
    """Count from the ledger what a window has spent; calls that are held are not in it yet."""
    [locked] = _locked([window.pk])
    locked.spent_pico = _spent(locked.budget, locked.key, locked.starts_on, window=locked)
    locked.save(update_fields=["spent_pico"])


def _budgets_of(spender: Spender) -> list[Budget]:
    matching = Q()
    for scope, key in spender.keys().items():
        matching |= Q(scope=scope, key__in=("", key))
    found = Budget.objects.filter(matching, is_active=True).order_by("pk")
    named = {(budget.scope, budget.period) for budget in found if budget.key}
    # A budget of one's own goes before the one that everybody has.
    return [b for b in found if b.key or (b.scope, b.period) not in named]


def _window(budget: Budget, spender: Spender, at: datetime) -> BudgetWindow:
    key, starts_on = spender.keys()[budget.scope], _starts_on(budget.period, at)
    found = BudgetWindow.objects.filter(budget=budget, key=key, starts_on=starts_on).first()
    if found:
        return found
    made, _ = BudgetWindow.objects.get_or_create(
        budget=budget,
        key=key,
        starts_on=starts_on,
        defaults={"spent_pico": _spent(budget, key, starts_on)},
    )
    return made


def _starts_on(period: str, at: datetime) -> date:
    day = at.astimezone(UTC).date()
    return day if period == Budget.Period.DAY else day.replace(day=1)


def _spent(budget: Budget, key: str, starts_on: date, *, window: BudgetWindow | None = None) -> int:
    """What was charged in a period, by the start of the calls, without those that are held."""
    start = datetime.combine(starts_on, time(), tzinfo=UTC)
    length = 1 if budget.period == Budget.Period.DAY else 32
    end = start + timedelta(days=length)
    if budget.period == Budget.Period.MONTH:
        end = end.replace(day=1)
    entries = LedgerEntry.objects.filter(call_started_at__gte=start, call_started_at__lt=end)
    calls = ModelCall.objects.filter(pk=OuterRef("call_id"))
    match budget.scope:
        case Scope.USER:
            entries = entries.filter(owner_key=key)
        case Scope.SESSION:
            entries = entries.filter(session_key=key)
        case Scope.MODEL:
            provider, _, model = key.partition(":")
            calls = calls.filter(provider=provider, requested_model=model)
            entries = entries.filter(Exists(calls))
        case Scope.API_KEY:
            entries = entries.filter(Exists(calls.filter(api_key=key)))
    if window:
        held = BudgetHold.objects.filter(window=window, call_id=OuterRef("call_id"))
        entries = entries.filter(~Exists(held))
    return _charged(entries)


def _charged(entries: QuerySet[LedgerEntry]) -> int:
    return int(entries.aggregate(amount=Sum("amount_pico"))["amount"] or 0)


def _locked(pks: Iterable[int]) -> list[BudgetWindow]:
    windows = BudgetWindow.objects.select_for_update(of=("self",)).select_related("budget")
    return list(windows.filter(pk__in=list(pks)).order_by("pk"))


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
