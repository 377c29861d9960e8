"""A run costs what its provider reports, times the list price, to the last pico-dollar."""

import time
from decimal import Decimal
from typing import Any

import pytest

from tests.fakes.provider import FakeProvider, RequestRecord
from tests.process.client import Client, is_terminal, text_of
from tests.process.product import wait_for

pytestmark = pytest.mark.process

#: gpt-4o-mini in USD per token: https://openai.com/api/pricing (read 2026-11).
INPUT, CACHED, OUTPUT = (Decimal(rate) / 10**6 for rate in ("0.15", "0.075", "0.60"))
#: Long enough to be stopped in the middle, whatever the machine is doing.
ENDLESS = "tokens=2000 gap_ms=20"


def price_of(usage: dict[str, Any]) -> Decimal:
    """What OpenAI bills for a usage object: cached tokens are part of the prompt."""
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    prompt = (usage["prompt_tokens"] - cached) * INPUT + cached * CACHED
    return prompt + usage["completion_tokens"] * OUTPUT


def last_record(provider: FakeProvider) -> RequestRecord:
    return provider.requests[-1]


@pytest.mark.parametrize(
    "wish",
    [
        "tokens=1",
        "tokens=37",
        "tokens=20 cached=7",
        "tokens=20 reasoning=113",
        "tokens=20 continuous=1",
        "tokens=20 cached=5 reasoning=9 continuous=1",
        "tokens=20 finish=length",
    ],
)
def test_cost_is_usage_times_price(client: Client, provider: FakeProvider, wish: str) -> None:
    words = "word " * 40
    run = client.ask(f"{words} [[fake {wish}]]")
    sent = last_record(provider).usage_sent
    assert sent is not None
    assert Decimal(run["cost"]) == price_of(sent)
    assert (run["currency"], run["estimated"], run["unpriced_calls"]) == ("USD", False, 0)
    counted = {name: run["usage"][name] for name in ("prompt_tokens", "completion_tokens")}
    assert counted == {name: sent[name] for name in counted}


def test_a_cost_is_a_plain_decimal(client: Client) -> None:
    usage = '{"prompt_tokens":1,"completion_tokens":0,"total_tokens":1}'
    run = client.ask(f"[[fake text='' usage={usage}]]")
    assert run["cost"] == "0.00000015"


def test_a_large_usage_is_exact(client: Client) -> None:
    usage = '{"prompt_tokens":9999999999,"completion_tokens":0,"total_tokens":9999999999}'
    assert client.ask(f"[[fake text='' usage={usage}]]")["cost"] == "1499.99999985"


@pytest.mark.parametrize(
    ("wish", "cost", "unpriced", "flags"),
    [
        # 1000 x 2.50 / 1e6 and 1000 x 4.25 / 1e6: what was served decides, not what was asked for.
        ("served=gpt-4o-2024-08-06", "0.0025", 0, []),
        ("served=gpt-4o tier=priority", "0.00425", 0, []),
        ("served=gpt-4o tier=default", "0.0025", 0, []),
        ("served=gpt-4o tier=scale", "0.0025", 0, ["tier_not_priced"]),
        ("served=house-model", None, 1, []),
    ],
)
def test_what_was_served_is_priced(
    client: Client, wish: str, cost: str | None, unpriced: int, flags: list[str]
) -> None:
    usage = '{"prompt_tokens":1000,"completion_tokens":0,"total_tokens":1000}'
    run = client.ask(f"[[fake text='' usage={usage} {wish}]]")
    assert (run["cost"], run["unpriced_calls"]) == (cost, unpriced)
    assert run["calls"][0]["flags"] == flags
    told = [e for e in client.events_of(run) if e["type"] == "cost.updated"]
    assert (told[-1]["total"], told[-1]["unpriced_calls"]) == (cost, unpriced)


def test_what_the_provider_states_is_charged(client: Client) -> None:
    usage = '{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"cost":0.00045}'
    for wish in ("served=gpt-4o", "served=house-model"):
        run = client.ask(f"[[fake tokens=3 usage={usage} {wish}]]")
        assert (run["cost"], run["unpriced_calls"], run["estimated"]) == ("0.00045", 0, False)


@pytest.mark.parametrize("wish", ["nousage=1", "zerousage=1"])
def test_missing_usage_is_estimated_and_said_to_be(client: Client, wish: str) -> None:
    run = client.ask(f"[[fake tokens=30 {wish}]]")
    assert run["estimated"] is True
    assert run["usage"]["completion_tokens"] >= 30
    used = run["usage"]["prompt_tokens"] * INPUT + run["usage"]["completion_tokens"] * OUTPUT
    assert Decimal(run["cost"]) == used


def test_each_request_to_the_provider_is_one_call(client: Client, provider: FakeProvider) -> None:
    before = len(provider.requests)
    run = client.ask('[[fake tool=calculator args={"expression":"6*7"} cached=3]]')
    made = provider.requests[before:]
    assert len(made) == len(run["calls"]) == 2
    assert Decimal(run["cost"]) == sum(price_of(r.usage_sent) for r in made if r.usage_sent)
    assert {call["usage_source"] for call in run["calls"]} == {"provider"}


def test_told_costs_agree_with_the_ledger(client: Client) -> None:
    session_id = client.new_session()
    runs = [client.ask(f"[[fake tokens={n}]]", session_id=session_id) for n in (3, 4)]
    costs = client.get(f"/api/sessions/{session_id}/costs")
    assert Decimal(costs["total"]) == sum(Decimal(run["cost"]) for run in runs)
    assert [item["cost"] for item in costs["runs"]] == [run["cost"] for run in runs]
    told = [e for e in client.events_of(runs[1]) if e["type"] == "cost.updated"]
    assert (told[-1]["total"], told[-1]["estimated"]) == (runs[1]["cost"], False)


def test_live_cost_grows_with_the_tokens(client: Client) -> None:
    with client.socket(client.new_session()) as socket:
        socket.ask("[[fake tokens=30 gap_ms=20]]")
        socket.read_to_end()
    deltas = [event for event in socket.frames if event["type"] == "text.delta"]
    told = [Decimal(event["cost"]) for event in deltas]
    assert len(set(told)) > 3
    assert told == sorted(told)


@pytest.mark.parametrize("way", ["socket", "rest"])
def test_stop_ends_the_request_and_the_charge(
    client: Client, provider: FakeProvider, way: str
) -> None:
    with client.socket(client.new_session()) as socket:
        socket.ask(f"[[fake {ENDLESS}]]")
        run_id = socket.read_until("text.delta")["run_id"]
        record = last_record(provider)
        stopped_at = time.monotonic()
        if way == "socket":
            socket.send(type="cancel_run", run_id=run_id)
        else:
            path = f"/api/runs/{run_id}/cancel"
            assert [client.http.post(path).status_code for _ in range(2)] == [202, 202]
        assert socket.read_to_end()["type"] == "run.cancelled"
        told_at = time.monotonic()
        wait_for(lambda: record.ended_monotonic, timeout_s=2)
        late = socket.read_quietly(1.0)
    assert record.outcome == "client_closed"
    assert (record.ended_monotonic or 0) - stopped_at < 1
    assert told_at - stopped_at < 1
    assert [event["type"] for event in late] == []
    assert sum(is_terminal(event) for event in socket.frames) == 1
    run = client.run(run_id)
    text = text_of(socket.frames)
    assert client.answer_of(run) == text
    assert record.text_sent.startswith(text)
    assert run["status"] == "cancelled"
    assert run["estimated"] is True
    # An estimate of what the provider had sent by then, and of nothing that was to come.
    assert 0 < run["usage"]["completion_tokens"] <= 4 * record.tokens_sent
    assert client.run(run_id)["cost"] == run["cost"]


def test_stop_before_the_first_token(client: Client, provider: FakeProvider) -> None:
    with client.socket(client.new_session()) as socket:
        before = len(provider.requests)
        socket.ask("[[fake tokens=5 ttft_ms=1500]]")
        wait_for(lambda: len(provider.requests) > before)
        socket.send(type="cancel_run")
        assert socket.read_to_end(timeout_s=1)["type"] == "run.cancelled"
        wait_for(lambda: last_record(provider).outcome == "client_closed", timeout_s=1)
        assert text_of(socket.frames) == ""
        # The next message works.
        socket.ask("[[fake tokens=2]]")
        assert socket.read_to_end()["type"] == "run.finished"


def test_a_cancel_after_the_end_changes_nothing(client: Client) -> None:
    run = client.ask("[[fake tokens=2]]")
    answer = client.http.post(f"/api/runs/{run['run_id']}/cancel")
    assert answer.status_code == 202
    assert client.run(run["run_id"]) == run
