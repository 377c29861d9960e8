"""The ledger against the provider's own records: every request is one call, with its tokens.

What the provider reported must be in the ledger to the token. What it could not report, because
the call was cut off, is charged by an estimate that is marked as one.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.chaos.clients import Json
from tests.fakes.records import RequestRecord

#: Requests that a provider bills nothing for may have no record, and no tokens then.
UNSENT = ("failed", "abandoned", "cancelled")


@dataclass(slots=True)
class Account:
    """How far the ledger is from the provider, over many runs."""

    #: Tokens by which calls with the provider's own usage differ from it. Must be 0.
    difference: int = 0
    estimated_calls: int = 0
    #: The most tokens that the provider sent for one estimated call and nobody was charged for.
    most_in_flight: int = 0
    problems: list[str] = field(default_factory=list)


def reconcile(
    runs: Sequence[Json], texts: Sequence[str], records: Sequence[RequestRecord]
) -> Account:
    """Compare the calls of runs, each started by one of `texts`, with the provider's records."""
    by_text = defaultdict(list)
    for record in records:
        by_text[record.user_text].append(record)
    account = Account()
    for run, text in zip(runs, texts, strict=True):
        found = [f"run {run['run_id']}: {p}" for p in _compare(run, by_text[text], account)]
        account.problems += found
    return account


def _compare(run: Json, records: Sequence[RequestRecord], account: Account) -> Iterator[str]:
    calls = _sent_calls(run["calls"], len(records))
    if len(calls) != len(records):
        told = [(c["status"], c["usage"]["completion_tokens"]) for c in run["calls"]]
        yield f"M2: {len(records)} requests to the provider, calls {told}"
        return
    for call, record in zip(calls, records, strict=True):
        if call["status"] == "open":
            yield "M4: a call of a run that has ended is still open"
        if call["usage_source"] == "provider":
            yield from _compare_reported(call, record, account)
        else:
            yield from _compare_estimated(call, record, account)
    is_estimated = any(c["usage_source"] == "estimated" for c in run["calls"])
    if run["estimated"] != is_estimated:
        yield f"M5: estimated is {run['estimated']}, its calls say {is_estimated}"


def _sent_calls(calls: Sequence[Json], requests: int) -> list[Json]:
    """The calls without those that never reached the provider."""
    unsent = [c for c in calls if c["status"] in UNSENT and not c["usage"]["completion_tokens"]]
    spare = unsent[: max(len(calls) - requests, 0)]
    return [call for call in calls if call not in spare]


def _compare_reported(call: Json, record: RequestRecord, account: Account) -> Iterator[str]:
    sent = record.usage_sent or {}
    names = ("prompt_tokens", "completion_tokens")
    difference = sum(abs(call["usage"][name] - sent.get(name, 0)) for name in names)
    account.difference += difference
    if difference:
        yield f"M3: charged {call['usage']}, the provider reported {sent}"


def _compare_estimated(call: Json, record: RequestRecord, account: Account) -> Iterator[str]:
    account.estimated_calls += 1
    charged = call["usage"]["completion_tokens"]
    account.most_in_flight = max(account.most_in_flight, record.tokens_sent - charged)
    if call["status"] == "complete" and record.usage_sent:
        yield f"M5: an estimate of {charged} where the provider reported {record.usage_sent}"
    if not call["usage"]["prompt_tokens"] and record.tokens_sent:
        yield f"M6: nothing charged for {record.tokens_sent} tokens that were sent"
