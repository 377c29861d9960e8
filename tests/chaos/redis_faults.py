"""What happens to Redis: gone, emptied, frozen, full, far away."""

from functools import partial

from tests.chaos.rows import Row, Size
from tests.chaos.scene import Outcome, Scene
from tests.chaos.talks import Load

#: Live events come by polling the log while Redis is away.
LATE_S = 3.0
#: The channel layer writes a traceback for each connection that it loses.
LAYER = r"channels_redis\.pubsub: Unexpected exception in receive task"


def kill_redis(scene: Scene) -> None:
    scene.cluster.valkey.kill()


def start_redis(scene: Scene) -> None:
    scene.cluster.valkey.start()


def flush(scene: Scene) -> None:
    scene.cluster.valkey.client().flushall()


def killed(scene: Scene, size: Size, *, hold_s: float) -> Outcome:
    load = size.load(tokens=max(size.tokens, round(10 * (hold_s + 5))))
    return scene.under(load, kill_redis, heal=start_redis, hold_s=hold_s, t_max_s=LATE_S)


def flushed(scene: Scene, size: Size) -> Outcome:
    return scene.under(size.load(), flush, t_max_s=LATE_S)


def killed_before_many(scene: Scene, size: Size) -> Outcome:
    """Twenty clients of one session, half of them on SSE, while Redis is away for 15 s."""
    load = Load(streams=1, tokens=200, followers=20, restless=0, stopping=0, repeating=0)
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
)
