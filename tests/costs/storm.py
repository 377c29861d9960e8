"""Calls of all kinds over some days, and what they come to, summed in the plainest way."""

import random
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from costs import ledger, pricing
from costs.ledger import CallResult, Payer
from costs.models import STANDS, LedgerEntry, ModelCall
from costs.usage import COMPLETION_CLASSES, PROMPT_CLASSES, Usage

PRICE = pricing.flat_price(source="test", provider="p", model="m", input="0.15", output="0.60")
STATUSES = ("complete", "complete", "complete", "truncated", "cancelled", "failed")
UNSAID: Any = object()
COUNTED, GUESSED = ModelCall.UsageSource.PROVIDER, ModelCall.UsageSource.ESTIMATED


def brew(seed: int, *, calls: int, first: datetime, days: int) -> None:
    """Make calls at any time of some days, with attempts, estimates and unknown prices."""
    rng = random.Random(seed)
    runs = [(uuid.UUID(int=rng.getrandbits(128)), rng.randrange(4)) for _ in range(calls // 3)]
    for _ in range(calls):
        run_id, session = rng.choice(runs)
        owner = f"user:{session % 3}"
        payer = Payer(
            run_id=run_id,
            attempt=rng.choice((1, 1, 2)),
            session_key=f"{owner}/s{session}.abc",
            owner_key=owner,
        )
        at = first + timedelta(seconds=rng.uniform(0, days * 86400 - 1))
        make(rng, payer, at=at)


def make(rng, payer, *, at, price=UNSAID, output=None, model=None):
    """Make one call. Some are left open."""
    call_id = uuid.UUID(int=rng.getrandbits(128))
    price = rng.choice((PRICE, PRICE, None)) if price is UNSAID else price
    ledger.open_call(
        call_id=call_id,
        payer=payer,
        provider=rng.choice(("p", "q")),
        model=model or rng.choice(("small", "large")),
        price=price,
        prompt=Usage(input=7),
        started_at=at,
        tool=rng.choice(("", "clock", "clock,sum")),
    )
    if output or rng.random() < 0.9:
        source = rng.choice((COUNTED, GUESSED))
        end(rng, call_id, price=price, source=source, at=at, output=output)


def end(rng, call_id, *, price, source, at, output=None):
    """End a call, or say the truth about one that was guessed."""
    used = Usage(
        input=rng.randrange(10**6),
        cache_read=rng.randrange(999),
        output=output or rng.randrange(10**5),
    )
    ledger.close_call(
        CallResult(
            call_id=call_id,
            status=ModelCall.Status(rng.choice(STATUSES)),
            usage=None if not output and rng.random() < 0.1 else used,
            usage_source=source,
            usage_raw={},
            price=price,
            first_token_at=at + timedelta(milliseconds=rng.randrange(500)),
            ended_at=at + timedelta(seconds=rng.randrange(1, 9)),
        )
    )


def correct(seed: int, *, calls: int) -> None:
    """Tell what calls really used that were charged by an estimate, or never ended."""
    rng = random.Random(seed)
    for call in ModelCall.objects.exclude(usage_source=COUNTED).order_by("pk")[:calls]:
        end(rng, call.pk, price=PRICE, source=COUNTED, at=call.started_at)


def told() -> list[tuple[dict[str, str], tuple]]:
    """What each call adds to a report: its keys, and its calls, unpriced ones, tokens, amounts."""
    entries: dict[uuid.UUID, list[LedgerEntry]] = defaultdict(list)
    for entry in LedgerEntry.objects.all():
        entries[entry.call_id].append(entry)
    standing = set(LedgerEntry.objects.filter(STANDS).values_list("pk", flat=True))
    calls = list(ModelCall.objects.all())
    last = {
        run: max(c.attempt for c in calls if c.run_id == run) for run in {c.run_id for c in calls}
    }
    found = []
    for call in calls:
        is_superseded = call.status == "complete" and call.attempt < last[call.run_id]
        status = "superseded" if is_superseded else call.status
        unpriced = any(e.kind == "unpriced" and e.pk in standing for e in entries[call.pk])
        sums = (1, int(unpriced), *_sums(entries[call.pk], status not in ("complete", "open")))
        found.append((_keys(call, status), sums))
    return found


def told_by_class() -> list[tuple[dict[str, str], tuple]]:
    """What each class of each call adds to a report by classes, as `told` does."""
    standing = set(LedgerEntry.objects.filter(STANDS).values_list("pk", flat=True))
    by_class: dict[tuple[uuid.UUID, str], list[LedgerEntry]] = defaultdict(list)
    for entry in LedgerEntry.objects.all():
        by_class[entry.call_id, entry.token_class].append(entry)
    found = []
    for keys, _ in told():
        for (call_id, token_class), entries in by_class.items():
            if str(call_id) != keys["call"]:
                continue
            stands = [entry for entry in entries if entry.pk in standing]
            counts = (int(bool(stands)), int(any(e.kind == "unpriced" for e in stands)))
            is_wasted = keys["status"] not in ("complete", "open")
            found.append(
                ({**keys, "token_class": token_class}, (*counts, *_sums(entries, is_wasted)))
            )
    return found


def added(sums: Iterable[tuple]) -> tuple:
    """Add up what calls add; amounts that are all unknown stay unknown."""
    columns = [
        [value for value in column if value is not None] for column in zip(*sums, strict=True)
    ]
    return tuple(sum(column) if column else None for column in columns)


def _sums(entries: list[LedgerEntry], is_wasted: bool) -> tuple:
    def tokens(classes: Sequence[str]) -> int:
        return sum(entry.quantity for entry in entries if entry.token_class in classes)

    priced = [entry for entry in entries if entry.amount_pico is not None]
    amount = sum(entry.amount_pico for entry in priced)
    return (
        tokens(PROMPT_CLASSES),
        tokens(["cache_read"]),
        tokens(COMPLETION_CLASSES),
        amount if priced else None,
        sum(entry.amount_pico for entry in priced if entry.is_estimate),
        amount * is_wasted,
    )


def _keys(call: ModelCall, status: str) -> dict[str, str]:
    return {
        "day": str(call.started_at.date()),
        "model": call.requested_model,
        "provider": call.provider,
        "user": call.owner_key,
        "session": call.session_key,
        "run": str(call.run_id),
        "tool": call.tool,
        "call": str(call.pk),
        "status": status,
    }
