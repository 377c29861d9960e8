"""What happens to the database: restarted, away, deaf at the wrong moment, locked, full."""

import sqlite3
import time
from functools import partial

from tests.chaos.rows import FINE, Row, Size
from tests.chaos.scene import Outcome, Scene
from tests.chaos.talks import Load


def restart(scene: Scene) -> None:
    scene.cluster.postgresql.restart_immediately()


def stop(scene: Scene) -> None:
    scene.cluster.postgresql.stop()


def start(scene: Scene) -> None:
    scene.cluster.postgresql.start()


def lose_commits(scene: Scene) -> None:
    """Let a few transactions be committed and nobody hear of it."""
    links = scene.cluster.database_links
    for _ in range(5):
        for link in links:
            link.lose_answers(b"COMMIT", times=1)
        time.sleep(0.5)
    assert sum(link.lost_answers for link in links) >= 5


def restarted(scene: Scene, size: Size) -> Outcome:
    return scene.under(size.load(), restart, t_max_s=10)


def away(scene: Scene, size: Size, *, hold_s: float) -> Outcome:
    """Messages that are sent meanwhile are refused, and accepted when they are sent again."""
    return scene.under(
        size.load(tokens=max(size.tokens, 100)),
        stop,
        heal=start,
        hold_s=hold_s,
        t_max_s=20,
        meanwhile=Load(streams=4, tokens=20, restless=0, stopping=0),
    )


def commits_lost(scene: Scene, size: Size) -> Outcome:
    return scene.under(size.load(), lose_commits, t_max_s=10)


def locked(scene: Scene, size: Size, *, hold_s: float) -> Outcome:
    holder = sqlite3.connect(scene.single.database, isolation_level=None)

    def lock(scene: Scene) -> None:
        holder.execute("PRAGMA busy_timeout = 10000")
        holder.execute("BEGIN IMMEDIATE")

    try:
        return scene.under(
            size.load(),
            lock,
            heal=lambda _: holder.execute("ROLLBACK"),
            hold_s=hold_s,
            t_max_s=12,
            meanwhile=Load(streams=2, tokens=20, restless=0, stopping=0),
        )
    finally:
        holder.close()


#: What is in the log when a connection breaks in the middle of a statement.
BROKEN = r"OperationalError|InterfaceError|AdminShutdown"

ROWS = (
    Row(
        id="P1",
        fault="immediate restart of PostgreSQL",
        profile="cluster",
        seen="a pause, and then everything",
        complaints=BROKEN,
        play=restarted,
    ),
    Row(
        id="P1-20s",
        fault="PostgreSQL away for 20 s",
        profile="cluster",
        seen="a pause, and then everything",
        complaints=BROKEN,
        play=partial(away, hold_s=20),
        is_long=True,
    ),
    Row(
        id="P2",
        fault="PostgreSQL away for 45 s",
        profile="cluster",
        seen="a pause, and then the end of the answer with its text",
        endings=FINE | {"storage", "worker_lost"},
        complaints=BROKEN,
        play=partial(away, hold_s=45),
        is_long=True,
    ),
    Row(
        id="P4",
        fault="transactions committed whose answer is lost",
        profile="cluster",
        seen="nothing, or a pause",
        complaints=BROKEN,
        play=commits_lost,
    ),
    Row(
        id="Q1",
        fault="SQLite locked by another program for 3 s",
        profile="single",
        seen="a pause, and then everything",
        play=partial(locked, hold_s=3),
    ),
    Row(
        id="Q1-10s",
        fault="SQLite locked by another program for 10 s",
        profile="single",
        seen="a pause, and then everything",
        play=partial(locked, hold_s=10),
        is_long=True,
    ),
)
