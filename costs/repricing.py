"""Corrects calls whose price was not known, or was wrong, when they were charged."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from django.db import transaction
from django.db.models import Count, QuerySet

from costs import ledger, lines, money, posting
from costs.lines import Line
from costs.models import UNPRICED, LedgerEntry, ModelCall
from costs.tariffs import Tariff

PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What a call cost before and after. None is unknown; `after` is what is priced of it."""

    call_id: uuid.UUID
    started_at: datetime
    model: str
    source: str
    before_pico: int | None
    after_pico: int | None

    @property
    def before(self) -> str | None:
        return money.plain_or_none(self.before_pico)

    @property
    def after(self) -> str | None:
        return money.plain_or_none(self.after_pico)


def corrections(
    *,
    tariff_of: Callable[[str], Tariff],
    model: str = "*",
    since: datetime | None = None,
    includes_priced: bool = False,
    is_dry_run: bool = False,
) -> Iterator[Correction]:
    """Correct the calls one by one, each in a transaction, and tell what was done.

    `model` is a name or a pattern, with or without its provider. Only calls without a price are
    looked at, unless `includes_priced`. Done again it finds nothing to do.
    """
    tariffs: dict[str, Tariff] = {}
    after = uuid.UUID(int=0)
    while page := list(_calls(since, includes_priced).filter(pk__gt=after).order_by("pk")[:PAGE]):
        for call in page:
            if not _is_named(call, model):
                continue
            if call.provider not in tariffs:
                tariffs[call.provider] = tariff_of(call.provider)
            with transaction.atomic():
                done = _correct(call.pk, tariffs[call.provider], includes_priced)
                transaction.set_rollback(is_dry_run)
            if done:
                yield done
        after = page[-1].pk


def unpriced_models() -> Iterator[tuple[str, int]]:
    """The models of which calls have no price, with the number of calls."""
    calls = unpriced_calls().values_list("provider", "served_model", "requested_model")
    counted: dict[str, int] = defaultdict(int)
    for provider, served, requested, count in calls.annotate(calls=Count("pk")).order_by():
        counted[f"{provider}:{served or requested}"] += count
    yield from sorted(counted.items())


def unpriced_calls() -> QuerySet[ModelCall]:
    """The calls of which something is in no sum."""
    unpriced = LedgerEntry.objects.filter(UNPRICED)
    return ModelCall.objects.filter(pk__in=unpriced.values("call_id"))


def _calls(since: datetime | None, includes_priced: bool) -> QuerySet[ModelCall]:
    calls = ModelCall.objects.all() if includes_priced else unpriced_calls()
    if since:
        calls = calls.filter(started_at__gte=since)
    return calls.exclude(status=ModelCall.Status.OPEN).filter(stated_pico=None)


def _correct(call_id: uuid.UUID, tariff: Tariff, includes_priced: bool) -> Correction | None:
    call = ledger.locked(call_id)
    price = tariff.price(_model(call), at=call.started_at, service_tier=call.service_tier)
    if price is None:
        return None
    before = posting.lines_of(call)
    call.price = posting.snapshot(price)
    wanted = posting.lines_of(call)
    if _unpriced(wanted) >= _unpriced(before) and not includes_priced:
        return None
    if not posting.correct(call):
        return None
    call.save(update_fields=["price"])
    return Correction(
        call_id=call.pk,
        started_at=call.started_at,
        model=f"{call.provider}:{_model(call)}",
        source=price.source,
        before_pico=lines.known_pico(before),
        after_pico=lines.known_pico(wanted),
    )


def _is_named(call: ModelCall, model: str) -> bool:
    name = _model(call)
    return fnmatchcase(name, model) or fnmatchcase(f"{call.provider}:{name}", model)


def _unpriced(charged: list[Line]) -> int:
    return sum(line.amount_pico is None for line in charged)


def _model(call: ModelCall) -> str:
    return call.served_model or call.requested_model
