"""The periods of budgets: who has which, and how each of them stands by the ledger."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from costs import facts
from costs.budget_models import Budget, BudgetHold, BudgetWindow
from costs.models import LedgerEntry, ModelCall

Scope = Budget.Scope
Keys = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spender:
    """Who spends and on what, in the words of the budgets' keys."""

    owner_key: str
    session_key: str
    #: `<provider>:<model>` as asked for.
    model: str
    #: The number of the API key that asked, or "".
    api_key: str = ""

    def keys(self) -> Keys:
        """The key of each scope that this spender falls under."""
        named: Keys = {
            Scope.EVERYTHING: "",
            Scope.USER: self.owner_key,
            Scope.SESSION: self.session_key,
            Scope.MODEL: self.model,
        }
        return named | ({Scope.API_KEY: self.api_key} if self.api_key else {})


def budgets_of(keys: Keys) -> list[Budget]:
    """The budgets that limit a call; one of one's own goes before the one that everybody has."""
    matching = Q()
    for scope, key in keys.items():
        matching |= Q(scope=scope, key__in=("", key))
    found = Budget.objects.filter(matching, is_active=True).order_by("pk")
    named = {(budget.scope, budget.period) for budget in found if budget.key}
    return [b for b in found if b.key or (b.scope, b.period) not in named]


def window_of(budget: Budget, keys: Keys, at: datetime) -> BudgetWindow:
    """Find or make the period of a budget in which a call counts that starts now."""
    asked = {
        "budget": budget,
        "key": keys[budget.scope],
        "starts_on": starts_on(budget.period, at),
    }
    if found := BudgetWindow.objects.filter(**asked).first():
        return found
    with transaction.atomic():
        made, is_new = BudgetWindow.objects.get_or_create(**asked, defaults={"spent_pico": 0})
        if is_new:
            recount(made)
    return made


def starts_on(period: str, at: datetime) -> date:
    """The first day, in UTC, of the period that a moment is in."""
    day = at.astimezone(UTC).date()
    return day if period == Budget.Period.DAY else day.replace(day=1)


def locked(pks: Iterable[int]) -> list[BudgetWindow]:
    """Lock windows in the order that everybody takes, until the end of the transaction."""
    windows = BudgetWindow.objects.select_for_update(of=("self",)).select_related("budget")
    return list(windows.filter(pk__in=list(pks)).order_by("pk"))


def recount_all(scope: str, period: str) -> None:
    """Count anew how all budgets of a kind stand in the running period: one of them has changed."""
    for window in _running(period).filter(budget__scope=scope):
        recount(window)


@transaction.atomic
def recount(window: BudgetWindow) -> None:
    """Count from the ledger what a window has spent; calls that are open count when they end."""
    [current] = locked([window.pk])
    missed = _calls_in(current).filter(status=ModelCall.Status.OPEN)
    missed = missed.exclude(pk__in=current.holds.values("call_id"))
    BudgetHold.objects.bulk_create(
        BudgetHold(call_id=call_id, window=current, pico=0)
        for call_id in missed.values_list("pk", flat=True)
    )
    # Afterwards: a call that ends meanwhile is held, or its entries are there.
    current.spent_pico = spent_pico(current)
    current.save(update_fields=["spent_pico"])


def spent_pico(window: BudgetWindow) -> int:
    """What the ledger says was spent, by the start of the calls, without those that are held."""
    held = BudgetHold.objects.filter(window=window, call_id=OuterRef("call_id"))
    return charged_pico(_entries_in(window).filter(~Exists(held)))


def charged_pico(entries: QuerySet[LedgerEntry]) -> int:
    """What entries come to; those without a price add nothing."""
    return int(entries.aggregate(amount=Sum("amount_pico"))["amount"] or 0)


def wrong_windows() -> Iterator[tuple[BudgetWindow, str]]:
    """The windows of the running periods that say something else than the ledger and the holds."""
    for period in Budget.Period.values:
        for window in _running(period).filter(budget__is_active=True):
            if window.budget not in budgets_of({window.budget.scope: window.key}):
                continue  # another budget goes before it
            held = window.holds.aggregate(pico=Sum("pico"))["pico"] or 0
            spent = spent_pico(window)
            if (window.spent_pico, window.held_pico) != (spent, held):
                said = f"{window.spent_pico} spent and {window.held_pico} set aside"
                yield window, f"it says {said}, the ledger {spent} and the holds {held}"


def _running(period: str) -> QuerySet[BudgetWindow]:
    current = starts_on(period, timezone.now())
    windows = BudgetWindow.objects.filter(budget__period=period, starts_on=current)
    return windows.select_related("budget").order_by("pk")


def _span(window: BudgetWindow) -> tuple[datetime, datetime]:
    begin = window.starts_on
    if window.budget.period == Budget.Period.DAY:
        end = begin + timedelta(days=1)
    else:
        end = (begin + timedelta(days=32)).replace(day=1)
    return facts.start_of(begin), facts.start_of(end)


def _calls_in(window: BudgetWindow) -> QuerySet[ModelCall]:
    begin, end = _span(window)
    calls = ModelCall.objects.filter(started_at__gte=begin, started_at__lt=end)
    key = window.key
    match window.budget.scope:
        case Scope.USER:
            return calls.filter(owner_key=key)
        case Scope.SESSION:
            return calls.filter(session_key=key)
        case Scope.MODEL:
            provider, _, model = key.partition(":")
            return calls.filter(provider=provider, requested_model=model)
        case Scope.API_KEY:
            return calls.filter(api_key=key)
    return calls


def _entries_in(window: BudgetWindow) -> QuerySet[LedgerEntry]:
    begin, end = _span(window)
    entries = LedgerEntry.objects.filter(call_started_at__gte=begin, call_started_at__lt=end)
    match window.budget.scope:
        case Scope.USER:
            return entries.filter(owner_key=window.key)
        case Scope.SESSION:
            return entries.filter(session_key=window.key)
        case Scope.MODEL | Scope.API_KEY:
            return entries.filter(Exists(_calls_in(window).filter(pk=OuterRef("call_id"))))
    return entries
