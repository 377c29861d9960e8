"""What must hold after every fault, whatever it was: by what clients saw, and by what is stored.

The letters are those of the invariants: A accepted, R runs, L log, T text, C clients, K cancels.
Money is checked in `tests.chaos.money`, the database by `manage.py audit`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.chaos.clients import Follower, Json
from tests.chaos.talks import Talk
from tests.process.client import DELTAS, is_terminal, story_of, text_of

TOKEN = re.compile(r"w(\d+)\.(\d+) ")
ENDED = ("finished", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What the product says of one talk when everything is over."""

    log: list[Json]
    run: Json
    messages: list[Json]
    last_seq: int


@dataclass(slots=True)
class Findings:
    """What was counted over all clients, and everything that is wrong."""

    lost: int = 0
    doubled: int = 0
    problems: list[str] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)

    def note(self, where: str, problems: Iterator[str]) -> None:
        self.problems += [f"{where}: {problem}" for problem in problems]


def examine(talks: Sequence[Talk], stored: Sequence[Stored]) -> Findings:
    """Check all talks against what is stored of them."""
    findings = Findings()
    for talk, kept in zip(talks, stored, strict=True):
        where = f"session {talk.session_id}"
        findings.note(where, accepted(talk, kept))
        findings.note(where, log(kept))
        findings.note(where, text(kept))
        findings.endings[ending_of(kept.run)] += 1
        for follower in talk.followers:
            findings.lost += len(lost(follower.events, kept.log))
            findings.doubled += len(doubled(follower.events))
            findings.note(f"{where}, {follower.transport}", history(follower, kept))
    return findings


def ending_of(run: Json) -> str:
    """How a run ended, in one word."""
    error = run["error"]
    return str(error["code"] if error else run["status"])


def accepted(talk: Talk, kept: Stored) -> Iterator[str]:
    """A1-A4: each accepted message is one run, whatever was sent how often."""
    queued = [e["run_id"] for e in kept.log if e["type"] == "run.queued"]
    if set(talk.run_ids) != set(queued) or len(queued) != 1:
        yield f"A1: accepted as {talk.run_ids}, in the log {queued}"
    said = [m for m in kept.messages if m["role"] == "user"]
    texts = ["".join(part["text"] for part in message["parts"]) for message in said]
    if texts != [talk.text]:
        yield f"A3: sent {talk.text!r}, kept {texts}"
    if talk.stop_acked_at is not None and kept.run["status"] not in ENDED:
        yield f"K1: its stop was accepted and it is {kept.run['status']}"


def log(kept: Stored) -> Iterator[str]:
    """R2-R5, L3: one end, after everything else; attempts only rise, to three at most."""
    ends = [e["type"] for e in kept.log if is_terminal(e)]
    if ends != [f"run.{kept.run['status']}"]:
        yield f"R2: ends {ends}, the run is {kept.run['status']}"
    if kept.log and not is_terminal(kept.log[-1]):
        yield f"R4: {kept.log[-1]['type']} is last"
    if kept.log and kept.log[-1]["seq"] != kept.last_seq:
        yield f"R4: the log ends at {kept.log[-1]['seq']}, the session at {kept.last_seq}"
    attempts = [e["attempt"] for e in kept.log]
    if attempts != sorted(attempts) or attempts[-1:] > [3]:
        yield f"L3: attempts {sorted(set(attempts))} in another order"


def text(kept: Stored) -> Iterator[str]:
    """T1-T4: the text is what was streamed last, and no token is missing, doubled or foreign."""
    shown = text_of(kept.log)
    answers = [m for m in kept.messages if m["role"] == "assistant"]
    if len(answers) > 1:
        yield f"T3: {len(answers)} answers"
    for message in answers:
        stored = "".join(p["text"] for p in message["parts"] if p["type"] == "text")
        if stored != shown:
            yield f"T1: stored {stored[-60:]!r}, streamed {shown[-60:]!r}"
    for attempt in sorted({e["attempt"] for e in kept.log}):
        streamed = text_of([e for e in kept.log if e["attempt"] == attempt])
        tokens = TOKEN.findall(streamed)
        if "".join(f"w{number}.{index} " for number, index in tokens) != streamed:
            yield f"T4: torn tokens in {streamed[-60:]!r}"
        if len({number for number, _ in tokens}) > 1:
            yield f"T4: the tokens of several requests in one text: {streamed[-60:]!r}"
        if [int(index) for _, index in tokens] != list(range(len(tokens))):
            yield f"T4: tokens missing, doubled or out of order in attempt {attempt}"


def history(follower: Follower, kept: Stored) -> Iterator[str]:
    """C1-C8: everything that is in the log, once and in order, and nothing else."""
    seen = follower.events
    if follower.resets:
        yield f"C2: told that it lost its place: {follower.resets}"
    if extra := doubled(seen):
        yield f"C1: {len(extra)} events twice or out of order, the first at {extra[0]['seq']}"
    if missing := lost(seen, kept.log):
        yield f"C2: {len(missing)} events missing, the first is {missing[0]}"
    last = seen[-1]["seq"] if seen else 0
    told = story_of([e for e in kept.log if e["seq"] <= last])
    # Deltas that were joined on one way and not on the other are the same story.
    if not extra and not missing and story_of(seen) != told:
        yield f"C4: it was told something else than the log has: {_first_difference(seen, told)}"
    for number, connection in enumerate(follower.connections, start=1):
        first = next((f.event["seq"] for f in follower.frames if f.connection == number), None)
        if first is not None and first <= connection.after:
            yield f"C7: went on at {first} after {connection.after}"


def doubled(seen: Sequence[Json]) -> list[Json]:
    """The events that came when they or later ones had come already."""
    return _sorted_out(seen)[1]


def lost(seen: Sequence[Json], log: Sequence[Json]) -> list[Json]:
    """The events of the log that a reader was not told, not even joined to others."""
    seen = _sorted_out(seen)[0]
    told = {event["seq"] for event in seen}
    if _text(seen) == _text(log):
        # Joined deltas carry the number of their last one.
        return [e for e in log if e["type"] not in DELTAS and e["seq"] not in told]
    return [e for e in story_of(log) if e["seq"] not in told] or [{"type": "text", "seq": 0}]


def _sorted_out(seen: Sequence[Json]) -> tuple[list[Json], list[Json]]:
    """The events that came in order, and those that came too late."""
    fresh: list[Json] = []
    late: list[Json] = []
    for event in seen:
        is_late = bool(fresh) and event["seq"] <= fresh[-1]["seq"]
        (late if is_late else fresh).append(event)
    return fresh, late


def _text(events: Sequence[Json]) -> list[tuple[int, str]]:
    by_attempt: dict[int, str] = {}
    for event in events:
        if event["type"] == "text.delta":
            before = by_attempt.get(event["attempt"], "")
            by_attempt[event["attempt"]] = before + event["delta"]
    return sorted(by_attempt.items())


def _first_difference(seen: Sequence[Json], told: Sequence[Json]) -> str:
    for ours, theirs in zip(story_of(seen), told, strict=False):
        if ours != theirs:
            return f"{str(ours)[:300]} instead of {str(theirs)[:300]}"
    return f"{len(seen)} events instead of {len(told)}"
