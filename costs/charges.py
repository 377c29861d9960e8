"""What is charged for each class of tokens: the parts that the totals are the sums of."""

import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, Sum

from costs import money
from costs.models import LedgerEntry
from costs.usage import CLASSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What was used of one class; the amount is None when nothing of it has a price."""

    token_class: str
    #: Tokens, or requests where the class is a fee.
    quantity: int
    amount_pico: int | None

    @property
    def amount(self) -> str | None:
        return money.plain_or_none(self.amount_pico)


def of_session(session_key: str) -> list[Charge]:
    """The charges of a session, in the fixed order of the classes."""
    return [charge for _, charge in _read(Q(session_key=session_key))]


def of_run(run_id: uuid.UUID) -> list[Charge]:
    """The charges of a run over all its attempts, in the fixed order of the classes."""
    return [charge for _, charge in _read(Q(run_id=run_id))]


def of_call(call_id: uuid.UUID) -> list[Charge]:
    """The charges of one call, in the fixed order of the classes."""
    return [charge for _, charge in _read(Q(call_id=call_id))]


def by_call_of_run(run_id: uuid.UUID) -> Mapping[uuid.UUID, Sequence[Charge]]:
    """The charges of each call of a run, none for one that has none."""
    found: dict[uuid.UUID, list[Charge]] = defaultdict(list)
    for row, charge in _read(Q(run_id=run_id), "call_id"):
        found[row["call_id"]].append(charge)
    return found


def _read(where: Q, *by: str) -> Iterator[tuple[dict[str, Any], Charge]]:
    sums = LedgerEntry.objects.filter(where).values("token_class", *by)
    rows = sums.annotate(used=Sum("quantity"), amount=Sum("amount_pico"))
    for row in sorted(rows, key=lambda row: CLASSES.index(row["token_class"])):
        # What was reversed altogether is not charged any more.
        if row["used"] or row["amount"]:
            yield (
                row,
                Charge(
                    token_class=row["token_class"],
                    quantity=row["used"],
                    amount_pico=row["amount"],
                ),
            )
