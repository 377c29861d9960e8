"""Whatever the provider does, a run ends with one clear event, and nothing secret gets out."""

import json
from typing import Any

import pytest

from tests.fakes.provider import FakeProvider
from tests.fakes.wire import CANARY
from tests.process.client import Client, Json, check_order, is_terminal, text_of
from tests.process.conftest import KEY
from tests.process.product import Product

pytestmark = pytest.mark.process


def check_ended(client: Client, run: Json, *, code: str | None) -> list[Json]:
    """One terminal event that REST agrees with, and the text that was shown kept."""
    events = client.events_of(run)
    check_order(events)
    ends = [event for event in events if is_terminal(event)]
    assert [event["type"] for event in ends] == [f"run.{run['status']}"]
    assert (run["error"] or {}).get("code") == ends[0].get("code") == code
    assert client.answer_of(run) == text_of(events)
    assert all(call["status"] != "open" for call in run["calls"])
    return events


def statuses(run: Json) -> list[str]:
    return [call["status"] for call in run["calls"]]


@pytest.mark.parametrize("fault", ["fault=500", "fault=503", "fault=429"])
def test_a_fault_before_the_first_token_is_tried_again(
    client: Client, provider: FakeProvider, fault: str
) -> None:
    before = len(provider.requests)
    run = client.ask(f"{fault} once [[fake tokens=6 {fault} fault_times=1]]")
    assert run["status"] == "finished"
    assert len(provider.requests) - before == 2
    assert statuses(run) == ["failed", "complete"]
    failed, good = run["calls"]
    assert failed["usage"]["total_tokens"] == 0
    assert run["usage"] == good["usage"]
    assert run["estimated"] is False
    check_ended(client, run, code=None)


@pytest.mark.parametrize("fault", ["rst@0", "stall@0"])
def test_an_answer_that_breaks_off_before_its_first_token_is_charged_its_prompt(
    client: Client, provider: FakeProvider, fault: str
) -> None:
    before = len(provider.requests)
    run = client.ask(f"[[fake tokens=6 {fault} fault_times=1]]")
    assert run["status"] == "finished"
    assert statuses(run) == ["failed", "complete"]
    billed = provider.requests[before].billed
    assert billed["input"] > 0
    failed, good = run["calls"]
    assert failed["flags"] == ["billing_uncertain"]
    assert failed["usage"]["prompt_tokens"] > 0
    assert failed["usage"]["completion_tokens"] == billed.get("output", 0) == 0
    total = failed["usage"]["total_tokens"] + good["usage"]["total_tokens"]
    assert run["usage"]["total_tokens"] == total
    assert run["estimated"] is True
    check_ended(client, run, code=None)


@pytest.mark.parametrize(
    ("fault", "code", "requests"),
    [
        ("fault=401", "authentication", 1),
        ("fault=400", "invalid_request", 1),
        ("fault=429", "rate_limited", 2),
        ("fault=500", "unavailable", 2),
        ("hang", "timeout", 2),
    ],
)
def test_F87_a_lasting_fault_fails_the_run(
    client: Client, provider: FakeProvider, fault: str, code: str, requests: int
) -> None:
    before = len(provider.requests)
    run = client.ask(f"[[fake tokens=6 {fault}]]")
    assert run["status"] == "failed"
    assert len(provider.requests) - before == requests
    assert (run["usage"]["total_tokens"], run["cost"]) == (0, None)
    check_ended(client, run, code=code)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("rst@5", "interrupted"),
        ("cut@5", "interrupted"),
        ("eof@5", "truncated"),
        ("stall@5", "timeout"),
        ("drip@5", "timeout"),
        ("bad@5", "protocol"),
        ("err@5", "interrupted"),
    ],
)
def test_a_fault_in_the_stream_fails_the_run_and_keeps_the_text(
    client: Client, provider: FakeProvider, fault: str, code: str
) -> None:
    before = len(provider.requests)
    run = client.ask(f"[[fake tokens=20 gap_ms=5 {fault}]]")
    assert run["status"] == "failed"
    (record,) = provider.requests[before:]
    events = check_ended(client, run, code=code)
    assert text_of(events) == "".join(f"w{record.number}.{i} " for i in range(5))
    # The provider will bill what it sent; what it will bill is not known exactly.
    assert run["estimated"] is True
    assert run["usage"]["completion_tokens"] >= 5
    assert run["calls"][0]["flags"] == ["billing_uncertain"]


def test_an_empty_stream_is_no_answer(client: Client) -> None:
    run = client.ask("[[fake eof@0]]")
    assert run["status"] == "failed"
    check_ended(client, run, code="truncated")


def test_M_11_nothing_secret_gets_out(client: Client, product: Product) -> None:
    seen: list[Any] = []
    for fault in ("fault=401", "fault=400", "fault=500", "rst@1", "err@1"):
        run = client.ask(f"[[fake tokens=3 {fault}]]")
        seen += [run, client.events_of(run)]
    stored = b"".join(path.read_bytes() for path in product.data_dir.glob("chatledger.sqlite3*"))
    text = json.dumps(seen) + product.output + product.log + stored.decode(errors="replace")
    for secret in (KEY, CANARY, "Authorization"):
        assert secret not in text
    assert "Traceback" not in json.dumps(seen)
    assert product.environment["OPENAI_BASE_URL"] not in json.dumps(seen)


def test_the_next_message_works_after_a_failure(client: Client) -> None:
    session_id = client.new_session()
    failed = client.ask("[[fake tokens=9 eof@3]]", session_id=session_id)
    good = client.ask("[[fake echo=1]]", session_id=session_id)
    assert (failed["status"], good["status"]) == ("failed", "finished")
    echoed = json.loads(client.answer_of(good))
    assert [item["role"] for item in echoed][-1] == "user"


def test_the_output_limit_is_told(client: Client) -> None:
    run = client.ask("[[fake tokens=4 finish=length]]")
    events = check_ended(client, run, code=None)
    assert (events[-1]["type"], events[-1]["stop_reason"]) == ("run.finished", "length")
