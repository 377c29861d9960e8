"""What happens to web processes: killed, frozen, told to stop."""

import time

import psutil

from tests.chaos.clients import Caller
from tests.chaos.rows import FINE, Row, Size
from tests.chaos.scene import Outcome, Scene
from tests.chaos.talks import Load
from tests.process.product import Product, wait_for

#: The supervisor's pause and the start of a web process. Its port stays open meanwhile, so that
#: nginx sends it clients, which wait.
RESTART_S = 5.0
STOPPED_WITHIN_S = 1.5


def kill_only_web(scene: Scene) -> None:
    """The only web process of the first instance; nginx still has the second one."""
    scene.cluster.instances[0].kill("web")


def kill_one_web(scene: Scene) -> None:
    """One of the two web processes of the second instance."""
    scene.cluster.instances[1].kill("web")


def killed(scene: Scene, size: Size) -> Outcome:
    return scene.under(size.load(), kill_only_web, t_max_s=RESTART_S)


def one_of_two_killed(scene: Scene, size: Size) -> Outcome:
    return scene.under(size.load(), kill_one_web, t_max_s=3)


def terminate_web(scene: Scene) -> None:
    scene.cluster.instances[0].child("web").terminate()


def terminated(scene: Scene, size: Size) -> Outcome:
    return scene.under(size.load(), terminate_web, t_max_s=15)


def frozen(scene: Scene, size: Size) -> Outcome:
    web = scene.cluster.instances[0].child("web")
    return scene.under(
        size.load(),
        lambda _: web.suspend(),
        heal=lambda _: web.resume(),
        hold_s=30 if size.is_long else 12,
        t_max_s=15,
    )


def restart_all(scene: Scene) -> None:
    """Ask each process to end, one after the other, and wait until its successor is there."""
    for product in scene.cluster.instances:
        for role in ("web", "worker"):
            for process in product.children(role):
                replace(process, product, role)


def replace(process: psutil.Process, product: Product, role: str) -> None:
    before = {child.pid for child in product.children(role)}
    process.terminate()
    wait_for(lambda: {child.pid for child in product.children(role)} - before, timeout_s=40)
    # It runs; now it has to load what it needs.
    time.sleep(2)


def restarted(scene: Scene, size: Size) -> Outcome:
    load = size.load(streams=50, tokens=40, gap_ms=250)
    return scene.under(load, restart_all, t_max_s=60)


def dropped(scene: Scene, size: Size) -> Outcome:
    """All clients of a session lose their connection at the same moment."""
    count = 1000 if size.is_long else 100
    # Long enough for all of them to have come, and to come again.
    tokens = 80 if size.is_long else 24
    load = Load(streams=1, tokens=tokens, gap_ms=500, followers=count, restless=0, stopping=0)

    def drop(scene: Scene) -> None:
        assert scene.deployment.front.reset() >= count

    return scene.under(load, drop, t_max_s=5)


def watched_elsewhere(scene: Scene, size: Size) -> Outcome:
    """Started on instance one, watched and stopped through instance two."""
    one, two = (product.url for product in scene.cluster.instances)
    load = Load(streams=1, tokens=600, followers=2, restless=0, stopping=0, repeating=0)
    (talk,) = talks = load.talks([one])
    for follower in talk.followers:
        follower.base_url = two
    scene.forget_logs()
    scene.crowd.begin(talks)
    scene.crowd.wait_for(talks, lambda t: t.is_streaming, timeout_s=20)
    scene.crowd.thread.run(talk.stop(Caller(base_url=two)))
    assert talk.stop_acked_at is not None
    scene.crowd.wait_for(talks, lambda t: t.has_ended, timeout_s=10)
    return scene.judge(talks, healed_at=talk.stop_acked_at, t_max_s=STOPPED_WITHIN_S)


ROWS = (
    Row(
        id="D1",
        fault="kill -9 of the only web process of one of two instances",
        profile="cluster",
        seen="the clients connect again and go on where they were",
        play=killed,
    ),
    Row(
        id="D1-two",
        fault="kill -9 of one of two web processes of an instance",
        profile="cluster",
        seen="the clients connect again and go on where they were",
        play=one_of_two_killed,
        is_long=True,
    ),
    Row(
        id="D2",
        fault="SIGTERM to the only web process of one of two instances",
        profile="cluster",
        seen="the clients are told to come again, and go on where they were",
        play=terminated,
    ),
    Row(
        id="D3",
        fault="a web process frozen for 30 s",
        profile="cluster",
        seen="the clients notice that it is silent, and go on at the other instance",
        play=frozen,
        is_long=True,
    ),
    Row(
        id="D4",
        fault="rolling restart of every web and worker process during 50 answers",
        profile="cluster",
        seen="the clients connect again; runs end, or go on as another attempt",
        endings=FINE | {"interrupted"},
        play=restarted,
    ),
    Row(
        id="D5",
        fault="1,000 clients (100 in the short form) lose their connection at once",
        profile="cluster",
        seen="they connect again and go on where they were",
        play=dropped,
    ),
    Row(
        id="G4",
        fault="started on instance one, watched and stopped through instance two",
        profile="cluster",
        seen="all events, and the end within a second of the stop",
        endings=frozenset({"cancelled"}),
        play=watched_elsewhere,
    ),
)
