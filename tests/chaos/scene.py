"""One deployment, its provider and its people: where faults happen and are judged afterwards."""

import itertools
import json
import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.chaos import checks, logs, money
from tests.chaos.clients import Json
from tests.chaos.deployments import KEY, Cluster, Deployment, Single
from tests.chaos.talks import Crowd, Load, Talk
from tests.fakes.provider import FakeProvider
from tests.process.product import ROOT, Product

STREAMING_WITHIN_S = 40.0


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of one fault."""

    endings: Counter[str]
    clients: int
    connections: int
    #: The longest time that any client heard nothing after the fault was healed.
    recovery_s: float
    #: The longest time without an event that any client had.
    longest_gap_s: float
    lost: int
    doubled: int
    difference: int
    estimated_calls: int
    most_in_flight: int
    problems: list[str] = field(default_factory=list)
    #: Records of the logs that hold a traceback.
    complaints: list[str] = field(default_factory=list)

    @property
    def told(self) -> str:
        """How the runs ended, in words."""
        return ", ".join(f"{count} {name}" for name, count in sorted(self.endings.items()))


class Scene:
    """Plays faults on one deployment, one after the other."""

    def __init__(self, deployment: Deployment, provider: FakeProvider) -> None:
        self.deployment = deployment
        self.provider = provider
        self.crowd = Crowd()
        self._written: dict[Path, int] = {}

    @property
    def url(self) -> str:
        """Where clients come in."""
        return f"http://127.0.0.1:{self.deployment.front.port}"

    @property
    def single(self) -> Single:
        assert isinstance(self.deployment, Single)
        return self.deployment

    @property
    def cluster(self) -> Cluster:
        assert isinstance(self.deployment, Cluster)
        return self.deployment

    def close(self) -> None:
        self.crowd.close()

    def under(
        self,
        load: Load,
        provoke: Callable[["Scene"], None],
        *,
        heal: Callable[["Scene"], None] | None = None,
        hold_s: float = 0,
        t_max_s: float,
        meanwhile: Load | None = None,
        accepted_within_s: float = math.inf,
    ) -> Outcome:
        """Break something in the middle of all answers, heal it, and judge what came of it.

        Messages that are sent meanwhile are to be accepted in time.
        """
        talks = self.streaming(load)
        provoke(self)
        held_until = time.monotonic() + hold_s
        fresh = meanwhile.talks([self.url]) if meanwhile else []
        self.crowd.begin(fresh)
        time.sleep(max(held_until - time.monotonic(), 0))
        if heal:
            heal(self)
        healed_at = time.monotonic()
        talks += fresh
        self.wait_until_ended(talks, timeout_s=t_max_s + load.duration_s + 10)
        outcome = self.judge(talks, healed_at=healed_at, t_max_s=t_max_s)
        slowest_s = max((talk.accepted_after_s for talk in fresh), default=0)
        if slowest_s > accepted_within_s:
            outcome.problems.append(f"a message was accepted after {slowest_s:.1f} s")
        return outcome

    def wait_until_ended(self, talks: Sequence[Talk], *, timeout_s: float) -> None:
        """Wait until everybody was told the end of his run."""
        try:
            self.crowd.wait_for(talks, lambda talk: talk.has_ended, timeout_s=timeout_s)
        except AssertionError as error:
            left = [talk for talk in talks if talk.run_ids and not talk.has_ended]
            runs = self.crowd.get(self.url, [f"/api/runs/{talk.run_id}" for talk in left])
            stand = [(run["status"], run["attempt"], run["timings"]) for run in runs]
            raise AssertionError(f"{error}; the runs are {stand}") from None

    def streaming(self, load: Load) -> list[Talk]:
        """Start all talks, and wait until each client was shown a part of its answer."""
        self.forget_logs()
        talks = load.talks([self.url])
        self.crowd.begin(talks)
        self.crowd.wait_for(
            talks, lambda talk: talk.is_streaming or talk.has_ended, timeout_s=STREAMING_WITHIN_S
        )
        return talks

    def judge(
        self,
        talks: Sequence[Talk],
        *,
        healed_at: float | None = None,
        t_max_s: float | None = None,
    ) -> Outcome:
        """Let everybody leave, read everything again, and check all of it."""
        self.crowd.end(talks)
        self.deployment.ensure_well()
        stored = self._stored(talks)
        found = checks.examine(talks, stored)
        runs, texts = [kept.run for kept in stored], [talk.text for talk in talks]
        account = money.reconcile(runs, texts, self.provider.requests)
        followers = [follower for talk in talks for follower in talk.followers]
        outcome = Outcome(
            endings=found.endings,
            clients=len(followers),
            connections=sum(len(follower.connections) for follower in followers),
            recovery_s=recovery_s(talks, healed_at) if healed_at else 0.0,
            longest_gap_s=max(longest_gap_s(talk) for talk in talks),
            lost=found.lost,
            doubled=found.doubled,
            difference=account.difference,
            estimated_calls=account.estimated_calls,
            most_in_flight=account.most_in_flight,
            problems=[*found.problems, *account.problems],
            complaints=self._complaints(),
        )
        if t_max_s is not None and outcome.recovery_s > t_max_s:
            outcome.problems.append(f"recovered after {outcome.recovery_s:.1f} s, not {t_max_s} s")
        return outcome

    def forget_logs(self) -> None:
        """Judge only what is written from now on."""
        for product in self.deployment.instances:
            self._written[product.data_dir] = len(product.output)

    def audit(self, command: str = "audit") -> list[str]:
        """What the product's own audit finds in its database."""
        told = self.manage(command)
        if told.returncode == 0:
            return []
        return [f"{command}: {line}" for line in (told.stdout + told.stderr).strip().splitlines()]

    def manage(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the product beside it."""
        return subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=self.deployment.instances[0].whole_environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def _stored(self, talks: Sequence[Talk]) -> list[checks.Stored]:
        get = self.crowd.get
        runs = get(self.url, [f"/api/runs/{talk.run_id}" for talk in talks])
        sessions = get(self.url, [f"/api/sessions/{talk.session_id}" for talk in talks])
        pages = get(self.url, [f"/api/sessions/{t.session_id}/messages?limit=100" for t in talks])
        logs = [
            read_log(f"{self.url}/api/sessions/{found['session_id']}/events", found["last_seq"])
            for found in sessions
        ]
        return [
            checks.Stored(log=log, run=run, messages=page["items"], last_seq=found["last_seq"])
            for log, run, page, found in zip(logs, runs, pages, sessions, strict=True)
        ]

    def _complaints(self) -> list[str]:
        """What was written since the logs were forgotten and should not be there."""
        fresh = "\n".join(map(self._fresh_output, self.deployment.instances))
        found = logs.complaints(fresh)
        return [*found, "the operator's key"] if KEY in fresh else found

    def _fresh_output(self, product: Product) -> str:
        output, written = product.output, self._written.get(product.data_dir, 0)
        # A product that was started again has begun a new file.
        return output[written:] if len(output) >= written else output


@contextmanager
def playing(deployment: Deployment, provider: FakeProvider) -> Iterator[Scene]:
    """Start a deployment for what is to be done to it, and leave nothing behind."""
    scene = Scene(deployment, provider)
    try:
        deployment.start()
        yield scene
    finally:
        scene.close()
        deployment.end()


def read_log(url: str, last_seq: int) -> list[Json]:
    """Read a session's log from the beginning to its end."""
    events: list[Json] = []
    with httpx.stream("GET", url, params={"after": 0}, timeout=10, trust_env=False) as response:
        rest = b""
        for data in response.iter_raw():
            *blocks, rest = (rest + data).split(b"\n\n")
            events += [_event(block) for block in blocks if b"data: {" in block]
            if events and events[-1]["seq"] >= last_seq:
                return events
    return events


def _event(block: bytes) -> Json:
    line = next(line for line in block.decode().split("\n") if line.startswith("data: "))
    event: Json = json.loads(line.removeprefix("data: "))
    return event


def recovery_s(talks: Sequence[Talk], healed_at: float) -> float:
    """The longest time that any client heard nothing after the fault was healed."""
    waits = [0.0]
    for talk in talks:
        for follower in talk.followers:
            heard_at = healed_at
            for frame in follower.frames:
                if frame.at > healed_at:
                    waits.append(frame.at - heard_at)
                    heard_at = frame.at
    return max(waits)


def longest_gap_s(talk: Talk) -> float:
    """The longest time between two events of one client, once its answer has begun."""
    gaps = [0.0]
    for follower in talk.followers:
        begun = itertools.dropwhile(lambda f: f.event["type"] != "text.delta", follower.frames)
        times = [frame.at for frame in begun]
        gaps += [later - earlier for earlier, later in itertools.pairwise(times)]
    return max(gaps)
