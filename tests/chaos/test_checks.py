"""The checks find what they are for: each broken history here is one that must not pass."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos import checks, money
from tests.chaos.clients import Caller, Connection, Frame, Json, WebSocketFollower
from tests.chaos.logs import complaints
from tests.chaos.talks import Talk
from tests.fakes.records import RequestRecord

Change = Callable[[list[Json]], list[Json]]
USAGE = {"prompt_tokens": 3, "completion_tokens": 3}


def event(seq: int, kind: str, **fields: Any) -> Json:
    return {"seq": seq, "run_id": "r", "attempt": int(seq > 2), "type": kind, **fields}


def delta(seq: int, text: str) -> Json:
    return event(seq, "text.delta", message_id="a", part=0, delta=text)


LOG = [
    event(1, "run.queued"),
    event(2, "message.completed", role="user"),
    event(3, "run.started"),
    delta(4, "w7.0 "),
    delta(5, "w7.1 "),
    delta(6, "w7.2 "),
    event(7, "run.finished"),
]


def stored(log: list[Json], *, answer: str = "w7.0 w7.1 w7.2 ", status: str = "finished") -> Any:
    texts = {"user": "hello", "assistant": answer}
    messages = [
        {"role": role, "parts": [{"type": "text", "text": said}]} for role, said in texts.items()
    ]
    run = {"run_id": "r", "status": status, "error": None}
    return checks.Stored(log=log, run=run, messages=messages, last_seq=log[-1]["seq"])


def told(events: list[Json]) -> checks.Findings:
    """What is found when a client was told these events and the log is as it should be."""
    return examined(events, stored(LOG))


def examined(events: list[Json], kept: checks.Stored) -> checks.Findings:
    follower = WebSocketFollower(base_url="", session_id="s")
    follower.frames = [Frame(0.0, 1, item) for item in events]
    follower.connections = [Connection(0, 0.0)]
    talk = Talk(text="hello", caller=Caller(base_url=""), followers=[follower], session_id="s")
    talk.run_ids = ["r"]
    return checks.examine([talk], [kept])


def test_a_whole_history_passes() -> None:
    assert told(LOG).problems == []


def test_joined_deltas_pass() -> None:
    found = told([*LOG[:3], delta(6, "w7.0 w7.1 w7.2 "), LOG[6]])
    assert (found.problems, found.lost, found.doubled) == ([], 0, 0)


@pytest.mark.parametrize(
    ("change", "letter", "lost", "doubled"),
    [
        (lambda log: [*log[:4], *log[3:]], "C1", 0, 1),
        (lambda log: [*log[:4], *log[5:]], "C2", 1, 0),
        (lambda log: [*log[:2], *log[3:]], "C2", 1, 0),
        # What comes late is lost to a client that goes by the order.
        (lambda log: [log[1], log[0], *log[2:]], "C1", 1, 1),
        (lambda log: [*log[:3], delta(4, "x"), *log[4:]], "C2", 1, 0),
        (lambda log: [*log[:6], event(7, "run.finished", more=1)], "C4", 0, 0),
        (lambda log: log[:-1], "C2", 1, 0),
    ],
    ids=["doubled", "lost delta", "lost event", "swapped", "altered", "other fields", "no end"],
)
def test_a_broken_history_is_found(change: Change, letter: str, lost: int, doubled: int) -> None:
    found = told(change(list(LOG)))
    assert any(f" {letter}: " in problem for problem in found.problems), found.problems
    assert (found.lost, found.doubled) == (lost, doubled)


@pytest.mark.parametrize(
    ("kept", "letter"),
    [
        (stored(LOG, answer="w7.0 "), "T1"),
        (stored(LOG, status="failed"), "R2"),
        (stored([*LOG, event(8, "cost.updated")]), "R4"),
        (stored([*LOG, event(8, "run.finished")]), "R2"),
        (stored([*LOG[:4], delta(5, "w7.0 "), *LOG[6:]], answer="w7.0 w7.0 "), "T4"),
        (stored([*LOG[:4], delta(5, "w8.1 "), *LOG[6:]], answer="w7.0 w8.1 "), "T4"),
        (stored([event(0, "run.queued"), *LOG]), "A1"),
    ],
    ids=["text", "status", "after the end", "two ends", "token twice", "mixed", "two runs"],
)
def test_a_broken_log_is_found(kept: checks.Stored, letter: str) -> None:
    found = examined(kept.log, kept)
    assert any(f" {letter}: " in problem for problem in found.problems), found.problems


def call(source: str = "provider", **usage: int) -> Json:
    return {"status": "complete", "usage_source": source, "usage": {**USAGE, **usage}}


def record() -> RequestRecord:
    asked = {"messages": [{"role": "user", "content": "hello"}]}
    return RequestRecord(
        7, asked, {}, True, user_text="hello", tokens_sent=3, usage_sent=dict(USAGE)
    )


def account_of(*calls: Json, is_estimated: bool = False) -> money.Account:
    run = {"run_id": "r", "estimated": is_estimated, "calls": list(calls)}
    return money.reconcile([run], ["hello"], [record()])


def test_an_exact_charge_passes() -> None:
    account = account_of(call())
    assert (account.problems, account.difference) == ([], 0)


@pytest.mark.parametrize(
    ("calls", "letter"),
    [
        ([], "M2"),
        ([call(), call()], "M2"),
        ([call(completion_tokens=2)], "M3"),
        ([call(source="estimated")], "M5"),
    ],
    ids=["not charged", "charged twice", "other tokens", "not marked"],
)
def test_a_wrong_charge_is_found(calls: list[Json], letter: str) -> None:
    account = account_of(*calls)
    assert any(f" {letter}: " in problem for problem in account.problems), account.problems


def test_a_traceback_is_found_with_its_whole_record() -> None:
    output = "\n".join(
        [
            "web-1    | 2026-01-01 00:00:00.000 ERROR   chat.hub: broken",
            "worker-1 | 2026-01-01 00:00:00.000 INFO    chat: fine",
            "web-1    | Traceback (most recent call last):",
            "web-1    | ValueError: x",
            "web-1    | 2026-01-01 00:00:01.000 INFO    chat: fine",
        ]
    )
    (found,) = complaints(output)
    assert "chat.hub: broken" in found
    assert "ValueError" in found
    assert "fine" not in found
