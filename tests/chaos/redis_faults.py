"""What happens to Redis: gone, emptied, frozen, full, far away."""

import signal
from collections.abc import Callable, Sequence
from functools import partial

from tests.chaos.proxy import Direction
from tests.chaos.rows import Row, Size
from tests.chaos.scene import Outcome, Scene
from tests.chaos.talks import Load

#: Live events come by polling the log while Redis is away.
LATE_S = 3.0
#: The channel layer writes a traceback for each connection that it loses.
LAYER = r"channels_redis\.pubsub: Unexpected exception in receive task"

#: Messages that are sent while Redis does not answer.
FEW = Load(streams=4, tokens=20, restless=0, stopping=0)
ACCEPTED_WITHIN_S = 1.5


def kill_redis(scene: Scene) -> None:
    scene.cluster.valkey.kill()


def start_redis(scene: Scene) -> None:
    scene.cluster.valkey.start()


def flush(scene: Scene) -> None:
    with scene.cluster.redis() as client:
        client.flushall()


def killed(scene: Scene, size: Size, *, hold_s: float) -> Outcome:
    load = size.load(tokens=max(size.tokens, round(10 * (hold_s + 3))))
    return scene.under(load, kill_redis, heal=start_redis, hold_s=hold_s, t_max_s=LATE_S)


def flushed(scene: Scene, size: Size) -> Outcome:
    return scene.under(size.load(), flush, t_max_s=LATE_S)


def frozen(scene: Scene, size: Size) -> Outcome:
    """Frozen, so that connections stay open and nothing answers."""
    valkey, hold_s = scene.cluster.valkey, 15 if size.is_long else 5
    return scene.under(
        size.load(tokens=10 * (hold_s + 3)),
        lambda _: valkey.signal(signal.SIGSTOP),
        heal=lambda _: valkey.signal(signal.SIGCONT),
        hold_s=hold_s,
        t_max_s=LATE_S,
        meanwhile=FEW,
        accepted_within_s=ACCEPTED_WITHIN_S,
    )


def set_memory(limit: str) -> Callable[[Scene], None]:
    """Make Redis refuse what needs memory, or take it again."""

    def configure(scene: Scene) -> None:
        with scene.cluster.redis() as client:
            client.config_set("maxmemory", limit)

    return configure


def full(scene: Scene, size: Size) -> Outcome:
    return scene.under(
        size.load(),
        set_memory("1"),
        heal=set_memory("0"),
        hold_s=4,
        t_max_s=LATE_S,
        meanwhile=FEW,
        accepted_within_s=ACCEPTED_WITHIN_S,
    )


def silent(scene: Scene, size: Size, *, directions: Sequence[Direction]) -> Outcome:
    """The link of one instance passes nothing on and says nothing, and is reset in the end."""
    link = scene.cluster.redis_links[0]

    def heal(scene: Scene) -> None:
        link.reset()
        link.heal()

    hold_s = 60 if size.is_long else 4
    return scene.under(
        size.load(tokens=10 * (hold_s + 3)),
        lambda _: link.stall(*directions),
        heal=heal,
        hold_s=hold_s,
        t_max_s=LATE_S,
        meanwhile=FEW,
        accepted_within_s=ACCEPTED_WITHIN_S,
    )


def slow(scene: Scene, size: Size) -> Outcome:
    def delay(scene: Scene) -> None:
        for link in scene.cluster.redis_links:
            link.delay(0.2, jitter_s=0.05)

    def heal(scene: Scene) -> None:
        for link in scene.cluster.redis_links:
            link.heal()

    return scene.under(
        size.load(),
        delay,
        heal=heal,
        hold_s=4,
        t_max_s=LATE_S,
        meanwhile=FEW,
        accepted_within_s=2,
    )


def killed_before_many(scene: Scene, size: Size) -> Outcome:
    """Twenty clients of one session, half of them on SSE, while Redis is away for 15 s."""
    load = Load(streams=1, tokens=180, followers=20, restless=0, stopping=0, repeating=0)
    return scene.under(load, kill_redis, heal=start_redis, hold_s=15, t_max_s=LATE_S)


ROWS = (
    Row(
        id="G5",
        fault="Redis killed for 15 s while 20 clients follow one session",
        profile="cluster",
        seen="every event in order, once, up to 2 s late",
        longest_gap_s=LATE_S,
        complaints=LAYER,
        play=killed_before_many,
    ),
    Row(
        id="R1f-2s",
        fault="kill -9 of Redis, started again after 2 s",
        profile="cluster",
        seen="nothing but events up to 2 s late",
        longest_gap_s=LATE_S,
        complaints=LAYER,
        play=partial(killed, hold_s=2),
    ),
    Row(
        id="R1f-8s",
        fault="kill -9 of Redis, started again after 8 s",
        profile="cluster",
        seen="nothing but events up to 2 s late",
        longest_gap_s=LATE_S,
        complaints=LAYER,
        play=partial(killed, hold_s=8),
        is_long=True,
    ),
    Row(
        id="R2f",
        fault="FLUSHALL in mid-stream",
        profile="cluster",
        seen="nothing but events up to 2 s late",
        play=flushed,
    ),
    Row(
        id="R3f",
        fault="Redis frozen for 15 s (5 in the short form)",
        profile="cluster",
        seen="events up to 2 s late; messages are accepted within a second",
        longest_gap_s=LATE_S,
        complaints=LAYER,
        play=frozen,
    ),
    Row(
        id="R4f",
        fault="Redis full, and refusing to evict",
        profile="cluster",
        seen="nothing, or answers that begin late",
        longest_gap_s=LATE_S + 3,
        complaints=LAYER,
        play=full,
        is_long=True,
    ),
    Row(
        id="R6f",
        fault="silence between one instance and Redis, then a reset",
        profile="cluster",
        seen="events up to 2 s late",
        longest_gap_s=LATE_S + 3,
        complaints=LAYER,
        play=partial(silent, directions=("up", "down")),
    ),
    Row(
        id="R6f-one",
        fault="the same, but one way only: one instance hears nothing of Redis",
        profile="cluster",
        seen="events up to 2 s late",
        longest_gap_s=LATE_S + 3,
        complaints=LAYER,
        play=partial(silent, directions=("down",)),
        is_long=True,
    ),
    Row(
        id="R7f",
        fault="Redis 200 ms away, with jitter",
        profile="cluster",
        seen="events a moment later",
        longest_gap_s=2,
        play=slow,
        is_long=True,
    ),
)
