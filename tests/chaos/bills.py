"""Each row of the ledger against the providers' bills, request by request.

A request belongs to the call of its run that was opened last before it arrived: a run asks one
thing after the other, each time with a text that no other run has.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.chaos.clients import Json
from tests.chaos.money import UNSENT
from tests.fakes.directives import Directives, directives_in
from tests.fakes.records import RequestRecord

PICO = 10**12
#: For how long a provider may have sent what nobody is charged for: a worker stores what it has
#: read every two seconds at the latest (chat.call_meter), and its end has to be noticed.
IN_FLIGHT_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What started a run, the run as it is told in the end, and the text that its client saw."""

    text: str
    run: Json
    shown: str


@dataclass(slots=True, kw_only=True)
class Charge:
    """One call as it is stored: its row, its price, its entries, and the request that it made."""

    call: Json
    rates: Mapping[str, Sequence[tuple[int, int]]]
    entries: Sequence[Json]
    record: RequestRecord | None = None

    @property
    def started_at(self) -> float:
        return datetime.fromisoformat(self.call["started_at"]).timestamp()

    @property
    def by_class(self) -> dict[str, int]:
        found: dict[str, int] = self.call["usage_by_class"]
        return found

    @property
    def is_counted(self) -> bool:
        """Whether it is charged by the provider's own count."""
        return bool(self.call["usage_source"] == "provider")


@dataclass(slots=True)
class Account:
    """How far the ledger is from the bills, over many runs."""

    runs: int = 0
    calls: int = 0
    #: Complete calls whose provider told its usage, and by how many tokens they differ from it.
    counted: int = 0
    difference: int = 0
    #: Complete calls whose provider did not; they are estimated, and so are calls that broke off.
    untold: int = 0
    broken_off: int = 0
    #: Calls that were answered by an error, and by no token.
    refused: int = 0
    #: Calls that were opened and whose request never reached the provider.
    unsent: int = 0
    #: The most tokens that a provider sent for one call and nobody was charged for.
    most_in_flight: int = 0
    #: How calls ended, for those who want to see that everything was hit.
    endings: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def compare(
    asked: Sequence[Asked], rows: Sequence[Json], records: Sequence[RequestRecord]
) -> Account:
    """Compare runs with the rows of the ledger and with what the provider says it sent."""
    charges = _charges_by_run(rows)
    requests = defaultdict(list)
    for record in records:
        requests[record.user_text].append(record)
    account = Account(runs=len(asked))
    for item in asked:
        own = charges[item.run["run_id"]]
        found = [*_match(own, requests[item.text]), *_wrong_in_run(item, own)]
        for charge in own:
            found += _wrong_in(charge, account)
        account.problems += [
            f"run {item.run['run_id']}, {item.text!r}: {problem}" for problem in found
        ]
    return account


def _charges_by_run(rows: Sequence[Json]) -> dict[str, list[Charge]]:
    tables: dict[str, dict[Any, Json]] = defaultdict(dict)
    for row in rows:
        tables[row["model"]][row["pk"]] = row["fields"]
    entries = defaultdict(list)
    for entry in tables["costs.ledgerentry"].values():
        entries[entry["call"]].append(entry)
    found = defaultdict(list)
    for call_id, call in tables["costs.modelcall"].items():
        price = tables["costs.pricesnapshot"].get(call["price"])
        rates = price["rates"] if price else {}
        found[call["run_id"]].append(Charge(call=call, rates=rates, entries=entries[call_id]))
    for charges in found.values():
        charges.sort(key=lambda charge: charge.started_at)
    return found


def _match(charges: Sequence[Charge], records: Sequence[RequestRecord]) -> Iterator[str]:
    """Give each request to its call, which has no other one."""
    for record in records:
        before = [charge for charge in charges if charge.started_at <= record.received_at]
        if not before or before[-1].record:
            yield f"M2: request {record.number} has no call of its own"
        else:
            before[-1].record = record


def _wrong_in_run(asked: Asked, charges: Sequence[Charge]) -> Iterator[str]:
    """What is told of a run is the sum of its entries, and nothing was shown for nothing."""
    run, entries = asked.run, [entry for charge in charges for entry in charge.entries]
    charged = sum(entry["amount_pico"] or 0 for entry in entries)
    if Decimal(run["cost"] or 0) * PICO != charged:
        yield f"M8: its cost is {run['cost']}, its entries sum up to {charged}"
    if len(run["calls"]) != len(charges):
        yield f"M2: {len(run['calls'])} calls are told, {len(charges)} are stored"
    is_estimate = any(entry["is_estimate"] for entry in entries)
    if run["estimated"] != is_estimate or run["unpriced_calls"]:
        yield f"M5: estimated is {run['estimated']}, its entries say {is_estimate}"
    output = sum(charge.by_class.get("output", 0) for charge in charges)
    if output * directives_in(asked.text).cut < len(asked.shown):
        yield f"M6: {output} tokens are charged for the text {asked.shown!r}"


def _wrong_in(charge: Charge, account: Account) -> Iterator[str]:
    call, record = charge.call, charge.record
    account.calls += 1
    account.endings[call["status"]] += 1
    yield from _wrong_in_entries(charge)
    if record is None:
        account.unsent += 1
        if call["status"] not in UNSENT or charge.by_class.get("output"):
            yield f"M2: {call['status']} and charged {charge.by_class} without a request"
        return
    answered = re.search(r"\d+$", call["provider_request_id"])
    if answered and int(answered[0]) != record.number:
        yield f"M2: {call['provider_request_id']} was charged for request {record.number}"
    wished = directives_in(record.user_text)
    if call["status"] == "complete" and not (wished.nousage or wished.zerousage):
        yield from _wrong_in_count(charge, record, account)
        return
    account.untold += call["status"] == "complete"
    account.refused += record.status != 200
    account.broken_off += call["status"] != "complete" and record.status == 200
    yield from _wrong_in_estimate(charge, record, wished, account)


def _wrong_in_count(charge: Charge, record: RequestRecord, account: Account) -> Iterator[str]:
    """What is complete is charged as it is billed, class by class, and is no estimate."""
    account.counted += 1
    classes = charge.by_class.keys() | record.billed.keys()
    account.difference += sum(
        abs(charge.by_class.get(name, 0) - record.billed.get(name, 0)) for name in classes
    )
    if (charge.by_class, charge.is_counted, charge.call["flags"]) != (record.billed, True, []):
        yield f"M3: charged {charge.by_class}, the provider bills {record.billed}"


def _wrong_in_entries(charge: Charge) -> Iterator[str]:
    """Each class is charged once, at the rate that is kept with the call."""
    charged = [(entry["token_class"], entry["quantity"]) for entry in charge.entries]
    if sorted(charged) != sorted(charge.by_class.items()):
        yield f"M3: it used {charge.by_class} and was charged {charged}"
    for entry in charge.entries:
        steps = charge.rates.get(entry["token_class"], ())
        reached = [rate for start, rate in steps if charge.call["prompt_tokens"] > start]
        due = entry["quantity"] * reached[-1] if reached else None
        # List prices have so few places that no amount is rounded.
        if entry["kind"] != "charge" or entry["amount_pico"] * 10**6 != due:
            yield f"M6: {entry['kind']} {entry['amount_pico']} is not {due} / 10^6: {entry}"
        if entry["is_estimate"] == charge.is_counted:
            yield f"M4: estimate={entry['is_estimate']}, by the count of {charge.call}"


def _wrong_in_estimate(
    charge: Charge, record: RequestRecord, wished: Directives, account: Account
) -> Iterator[str]:
    """What broke off is charged as far as it had come, and marked unless it is what is billed."""
    in_flight = record.tokens_sent - charge.by_class.get("output", 0)
    account.most_in_flight = max(account.most_in_flight, in_flight)
    if charge.is_counted and charge.by_class != record.billed:
        yield f"M5: {charge.by_class} is not marked, the provider bills {record.billed}"
    status = charge.call["status"]
    most = 0 if status == "complete" else IN_FLIGHT_S * 1000 / wished.gap_ms
    if not 0 <= in_flight <= most:
        yield f"M5: {status}, {in_flight} of {record.tokens_sent} tokens are not charged"
    if record.tokens_sent and not charge.call["prompt_tokens"]:
        yield f"M6: nothing charged for {record.tokens_sent} tokens that were sent"
    if record.billed and not (charge.call["prompt_tokens"] or charge.call["flags"]):
        yield f"M4: nothing charged and not marked, the provider bills {record.billed}"
