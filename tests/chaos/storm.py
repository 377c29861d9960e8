"""Runs with all providers, stopped, retried, broken and killed at random, and what they cost.

The only place that knows what the runs of the storm are asked for; `tests.chaos.bills` compares
what was charged for them with what the providers say they sent.
"""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from uuid import uuid4

import httpx
import psutil

from tests.chaos import bills
from tests.chaos.bills import Account, Asked
from tests.chaos.clients import Caller, SseFollower
from tests.chaos.deployments import KEY, Deployment
from tests.chaos.scene import Scene
from tests.chaos.talks import Talk
from tests.chaos.worker_faults import open_answers
from tests.process import providers
from tests.process.client import text_of
from tests.process.product import wait_for

AT_ONCE = 20
ENDED_WITHIN_S = 600.0
#: Seconds between two kills; a worker needs some of them to start again.
PAUSE_S = (2.0, 5.0)
#: Stops and kills are to come between the steps.
TOOL = 'tool=calculator args={"expression":"6*7"} ttft_ms=500 gap_ms=1 cut=3'
#: What runs are asked for, and how many in a hundred; `{k}` is a number of tokens.
WISHES = {
    "": 17,
    "cached=2 reasoning=9": 8,
    "cached=2 cache_write_5m=3 cache_write_1h=1": 8,
    "continuous=1 reasoning=5": 5,
    "finish=length": 3,
    TOOL: 8,
    f"{TOOL} cached=3 reasoning=4": 5,
    "fault=500 fault_times=1": 4,
    "fault=503 fault_times=2": 4,
    "fault=529 fault_times=1": 2,
    "fault=429 fault_times=1": 4,
    "rst@0 fault_times=1": 4,
    "fault=500": 3,
    "fault=400": 2,
    "rst@{k}": 5,
    "cut@{k}": 4,
    "eof@{k}": 4,
    "err@{k}": 3,
    "bad@{k}": 2,
    "nousage=1": 3,
    "zerousage=1": 2,
}
STOPPED = 0.15
#: How some calls must have ended: a storm that hits nobody proves nothing.
HIT = frozenset({"complete", "cancelled", "failed", "abandoned"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """How much goes on, and the number that all of it follows from but the weather."""

    runs: int
    seed: int = 20261121


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a storm."""

    storm: Storm
    kills: int
    account: Account
    problems: list[str]

    @property
    def told(self) -> str:
        """The numbers, in words."""
        found = self.account
        ends = ", ".join(f"{count} {name}" for name, count in sorted(found.endings.items()))
        return (
            f"seed {self.storm.seed}, {found.runs} runs, {self.kills} kills, "
            f"{found.calls} calls ({ends}); {found.counted} complete with their usage, "
            f"difference {found.difference}; {found.untold} complete without it; "
            f"{found.broken_off} broken off, up to {found.most_in_flight} tokens in flight; "
            f"{found.refused} refused; {found.unsent} never sent"
        )


def prepare(deployment: Deployment, *, workers: int) -> None:
    """Let each instance of a deployment ask all providers, with so many worker processes."""
    root_url = f"http://127.0.0.1:{deployment.provider_link.port}"
    deployment.environment = providers.settings(root_url, key=KEY)
    deployment.environment["WORKER_PROCESSES"] = str(workers)


def talks(storm: Storm, url: str) -> list[Talk]:
    """Make the conversations of a storm, each with a text of its own."""
    rng = random.Random(storm.seed)
    wishes = [*WISHES, *rng.choices(list(WISHES), list(WISHES.values()), k=storm.runs)]
    wishes = rng.sample(wishes[: storm.runs], storm.runs)
    return [
        _talk(rng, wish, providers.MODELS[number % len(providers.MODELS)], url)
        for number, wish in enumerate(wishes)
    ]


def _talk(rng: random.Random, wish: str, model: str, url: str) -> Talk:
    session_id = uuid4().hex
    tokens, gap_ms = rng.randint(40, 120), rng.choice((20, 30, 50))
    # A letter is a token, so that an estimate is a count; and no fault is used up by another run.
    said = f"text={''.join(rng.choices(ascii_lowercase, k=tokens))} cut=1 gap_ms={gap_ms}"
    broken = wish.format(k=rng.randrange(tokens)) if "{k}" in wish else wish
    return Talk(
        text=f"Say something that nobody else says [[fake {said} {broken}]]",
        caller=Caller(base_url=url),
        followers=[SseFollower(base_url=url, session_id=session_id)],
        session_id=session_id,
        model=model,
        stop_after_s=rng.uniform(0, tokens * gap_ms / 1000) if rng.random() < STOPPED else None,
    )


def play(scene: Scene, storm: Storm) -> Outcome:
    """Let it blow over, and compare the ledger with the providers' bills."""
    print(storm, flush=True)
    asked = talks(storm, scene.url)
    kills = _kill_while(scene, asked, random.Random(storm.seed))
    runs = scene.crowd.get(scene.url, [f"/api/runs/{talk.run_id}" for talk in asked])
    rows = scene.manage("dumpdata", "costs.modelcall", "costs.ledgerentry", "costs.pricesnapshot")
    assert rows.returncode == 0, rows.stderr
    told = [
        Asked(text=talk.text, run=run, shown=text_of(talk.followers[0].events))
        for talk, run in zip(asked, runs, strict=True)
    ]
    account = bills.compare(told, json.loads(rows.stdout), scene.provider.requests)
    problems = [*account.problems, *scene.audit(), *scene.audit("ledger_audit")]
    problems += [f"no call ended {name}: nothing is proven" for name in HIT - set(account.endings)]
    return Outcome(storm=storm, kills=kills, account=account, problems=problems)


def _kill_while(scene: Scene, asked: Sequence[Talk], rng: random.Random) -> int:
    """Kill a worker now and then until everybody has asked; gives how often."""
    room = asyncio.Semaphore(AT_ONCE)
    wait_for(lambda: _ready_workers(scene) == len(_workers(scene)), timeout_s=60)
    playing = [scene.crowd.thread.spawn(_play(talk, room)) for talk in asked]
    kills = 0
    kill_at = time.monotonic() + rng.uniform(*PAUSE_S)
    while not all(talk.run_ids or item.done() for talk, item in zip(asked, playing, strict=True)):
        time.sleep(0.05)
        if time.monotonic() >= kill_at and _kill(scene, rng):
            kill_at = time.monotonic() + rng.uniform(*PAUSE_S)
            kills += 1
    for item in playing:
        item.result(ENDED_WITHIN_S)
    return kills


async def _play(talk: Talk, room: asyncio.Semaphore) -> None:
    async with room:
        await talk.play()
        while not talk.has_ended:  # noqa: ASYNC110 - it is heard by another task
            await asyncio.sleep(0.05)
        for follower in talk.followers:
            await follower.stop()


def _kill(scene: Scene, rng: random.Random) -> bool:
    """Kill -9 of one worker in the middle of answers, if another one can go on."""
    busy = [worker for worker in _workers(scene) if open_answers(scene, worker)]
    if len(busy) < 2:
        return False
    rng.choice(busy).kill()
    return True


def _workers(scene: Scene) -> list[psutil.Process]:
    return [w for product in scene.deployment.instances for w in product.children("worker")]


def _ready_workers(scene: Scene) -> int:
    """How many workers have loaded everything and say what they can take."""
    told = httpx.get(f"{scene.url}/metrics", trust_env=False).text
    return told.count("\nchatledger_run_slots{")
