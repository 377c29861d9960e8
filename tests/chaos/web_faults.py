"""What happens to web processes: killed, frozen, told to stop."""

from tests.chaos.clients import Caller
from tests.chaos.rows import Row, Size
from tests.chaos.scene import Outcome, Scene
from tests.chaos.talks import Load

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
