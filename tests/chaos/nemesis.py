"""Bad luck: faults by chance on a cluster that is busy all the time, from a seed that is printed.

CHAOS_MINUTES says for how long (5), CHAOS_SEED repeats the choices of an earlier time.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos import worker_faults
from tests.chaos.database_faults import BROKEN
from tests.chaos.redis_faults import LAYER
from tests.chaos.rows import FINE, Size
from tests.chaos.scene import Outcome, Scene
from tests.chaos.talks import Load, Talk

ENDINGS = FINE | {"worker_lost", "interrupted", "storage", "timeout", "truncated", "unavailable"}
COMPLAINTS = f"{LAYER}|{BROKEN}"
LAST_WORDS_S = 40.0
#: A part of the answers breaks by itself, too.
WISHES = ("rst@5", "eof@5", "fault=500 fault_times=1", "cut@9")
#: Something that was done, and how to undo it.
Undo = Callable[[], object]


def nothing() -> None:
    """What heals by itself."""


@dataclass(slots=True)
class Nemesis:
    """Chooses what breaks next, and when it is healed."""

    scene: Scene
    chance: random.Random
    told: list[str] = field(default_factory=list)
    #: What is broken now: when it will be healed, and how.
    _broken: list[tuple[float, Undo]] = field(default_factory=list)

    def step(self) -> None:
        """Heal what is due, and break something if less than two things are broken."""
        now = time.monotonic()
        for broken in [item for item in self._broken if item[0] <= now]:
            self._broken.remove(broken)
            broken[1]()
        if len(self._broken) < 2:
            names, weights = list(FAULTS), [weight for weight, _ in FAULTS.values()]
            (name,) = self.chance.choices(names, weights)
            self.told.append(name)
            print(f"         {time.strftime('%H:%M:%S')} {name}", flush=True)
            undo = FAULTS[name][1](self)
            self._broken.append((now + self.chance.uniform(1, 10), undo))

    def heal_all(self) -> None:
        for _, undo in self._broken:
            undo()
        self._broken.clear()

    def signal_child(self, role: str, number: signal.Signals) -> Undo:
        found = [c for p in self.scene.deployment.instances for c in p.children(role)]
        if not found:
            return nothing
        process = self.chance.choice(found)
        process.send_signal(number)
        return process.resume if number == signal.SIGSTOP else nothing

    def kill_worker(self) -> Undo:
        return self.signal_child("worker", signal.SIGKILL)

    def stop_worker(self) -> Undo:
        return self.signal_child("worker", signal.SIGTERM)

    def freeze_worker(self) -> Undo:
        return self.signal_child("worker", signal.SIGSTOP)

    def kill_web(self) -> Undo:
        return self.signal_child("web", signal.SIGKILL)

    def stop_web(self) -> Undo:
        return self.signal_child("web", signal.SIGTERM)

    def kill_redis(self) -> Undo:
        self.scene.cluster.valkey.kill()
        return self.scene.cluster.valkey.ensure_running

    def flush_redis(self) -> Undo:
        self.scene.cluster.valkey.ensure_running()
        with self.scene.cluster.redis() as client:
            client.flushall()
        return nothing

    def freeze_redis(self) -> Undo:
        valkey = self.scene.cluster.valkey
        valkey.ensure_running()
        valkey.signal(signal.SIGSTOP)
        return lambda: valkey.is_running and valkey.signal(signal.SIGCONT)

    def stall_link(self) -> Undo:
        cluster = self.scene.cluster
        link = self.chance.choice([*cluster.redis_links, cluster.front, cluster.provider_link])
        link.stall()

        def heal() -> None:
            link.reset()
            link.heal()

        return heal

    def reset_links(self) -> Undo:
        cluster = self.scene.cluster
        link = self.chance.choice([*cluster.redis_links, *cluster.database_links, cluster.front])
        link.reset()
        return nothing

    def restart_database(self) -> Undo:
        self.scene.cluster.postgresql.restart_immediately()
        return nothing

    def kill_all(self) -> Undo:
        for role in ("worker", "web"):
            for product in self.scene.deployment.instances:
                for child in product.children(role):
                    child.kill()
        return self.kill_redis()


FAULTS: dict[str, tuple[int, Callable[[Nemesis], Undo]]] = {
    "kill -9 of a worker": (15, Nemesis.kill_worker),
    "SIGTERM to a worker": (10, Nemesis.stop_worker),
    "SIGSTOP to a worker": (8, Nemesis.freeze_worker),
    "kill -9 of a web process": (10, Nemesis.kill_web),
    "SIGTERM to a web process": (10, Nemesis.stop_web),
    "kill -9 of Redis": (8, Nemesis.kill_redis),
    "FLUSHALL": (8, Nemesis.flush_redis),
    "SIGSTOP to Redis": (5, Nemesis.freeze_redis),
    "silence on a link": (6, Nemesis.stall_link),
    "reset of a link": (6, Nemesis.reset_links),
    "immediate restart of PostgreSQL": (5, Nemesis.restart_database),
    "kill -9 of all": (3, Nemesis.kill_all),
}


def play(scene: Scene, size: Size) -> Outcome:
    """Keep the cluster busy while things break; then heal everything and judge."""
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    minutes = float(os.environ.get("CHAOS_MINUTES") or 5)
    print(f"         CHAOS_SEED={seed} CHAOS_MINUTES={minutes:g}", flush=True)
    nemesis = Nemesis(scene, random.Random(seed))
    scene.forget_logs()
    talks: list[Talk] = []
    until = time.monotonic() + 60 * minutes
    try:
        while time.monotonic() < until:
            talks += begin_some(scene, nemesis.chance)
            # In the middle of what has just begun.
            time.sleep(nemesis.chance.uniform(1, 3))
            nemesis.step()
            time.sleep(nemesis.chance.uniform(2, 5))
            scene.crowd.dismiss(talk for talk in talks if talk.has_ended)
    finally:
        nemesis.heal_all()
    healed_at = time.monotonic()
    scene.wait_until_ended(talks, timeout_s=LAST_WORDS_S)
    return scene.judge(talks, healed_at=healed_at, t_max_s=worker_faults.LOST_WITHIN_S + 5)


def begin_some(scene: Scene, chance: random.Random) -> list[Talk]:
    """Ten messages more, two of which meet a fault of the provider as well."""
    load = Load(streams=8, tokens=40, gap_ms=100)
    broken = Load(streams=2, wish=f"tokens=20 gap_ms=50 {chance.choice(WISHES)}")
    talks = [*load.talks([scene.url]), *broken.talks([scene.url])]
    scene.crowd.begin(talks)
    return talks
