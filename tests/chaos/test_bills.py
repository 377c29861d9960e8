"""The comparison with the bills finds what it is for: each change here must not pass."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.chaos import bills
from tests.chaos.bills import Asked
from tests.chaos.clients import Json
from tests.fakes.records import RequestRecord

TEXT = "Hi [[fake text=abc cut=1 gap_ms=20]]"
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
Rows = dict[str, Json]


def rows() -> Rows:
    """A complete call of 5 tokens in and 3 out, at 0.15 and 0.60 USD per million."""
    entry = {"call": "call", "kind": "charge", "is_estimate": False}
    return {
        "price": {"rates": {"input": [[-1, 150_000_000_000]], "output": [[-1, 600_000_000_000]]}},
        "input": {**entry, "token_class": "input", "quantity": 5, "amount_pico": 750_000},
        "output": {**entry, "token_class": "output", "quantity": 3, "amount_pico": 1_800_000},
        "call": {
            "run_id": "r",
            "price": "price",
            "status": "complete",
            "usage_source": "provider",
            "usage_by_class": {"input": 5, "output": 3},
            "prompt_tokens": 5,
            "flags": [],
            "provider_request_id": "fake-7",
            "started_at": STARTED.isoformat(),
        },
    }


def problems_of(kept: Rows, *, sent: int = 3, asked_at: float = 1.0) -> list[str]:
    """What is found when the provider was sent one request and bills it."""
    at = STARTED.timestamp() + asked_at
    billed = {"input": 5, "output": sent}
    record = RequestRecord(7, {}, {}, True, user_text=TEXT, received_at=at, tokens_sent=sent)
    record.bill, record.status = (lambda: billed), 200
    tables = {"price": "costs.pricesnapshot", "call": "costs.modelcall"}
    dumped = [
        {"model": tables.get(name, "costs.ledgerentry"), "pk": name, "fields": fields}
        for name, fields in kept.items()
    ]
    run = {"run_id": "r", "cost": "0.00000255", "calls": [{}], "unpriced_calls": 0}
    run["estimated"] = kept["output"]["is_estimate"]
    asked = Asked(text=TEXT, run=run, shown="abc")
    return bills.compare([asked], dumped, [record]).problems


def test_an_exact_charge_passes() -> None:
    assert problems_of(rows()) == []


def changed(name: str, **fields: Any) -> Callable[[], Rows]:
    return lambda: {**(kept := rows()), name: {**kept[name], **fields}}


@pytest.mark.parametrize(
    ("made", "letter"),
    [
        (changed("call", usage_by_class={"input": 5, "output": 4}), "M3"),
        (changed("output", quantity=4, amount_pico=2_400_000), "M8"),
        (lambda: {**rows(), "again": rows()["output"]}, "M3"),
        (changed("output", amount_pico=1_800_001), "M6"),
        (changed("output", is_estimate=True), "M4"),
        (changed("call", usage_source="estimated"), "M3"),
        (changed("call", provider_request_id="fake-17"), "M2"),
        (changed("call", status="cancelled", usage_by_class={"input": 5, "output": 2}), "M5"),
        (changed("call", run_id="another"), "M2"),
    ],
)
def test_a_wrong_charge_is_found(made: Callable[[], Rows], letter: str) -> None:
    found = problems_of(made())
    assert any(f": {letter}: " in problem for problem in found), found


def test_a_request_before_its_call_is_found() -> None:
    assert any(": M2: " in problem for problem in problems_of(rows(), asked_at=-1))


def test_what_is_not_charged_of_a_broken_answer_is_bounded() -> None:
    kept = {**rows(), **changed("call", status="cancelled", usage_source="estimated")()}
    for name in ("input", "output"):
        kept[name]["is_estimate"] = True
    assert not any("not charged" in problem for problem in problems_of(kept, sent=100))
    assert any("not charged" in problem for problem in problems_of(kept, sent=200))
