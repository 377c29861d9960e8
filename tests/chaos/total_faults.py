"""Everything at once: all processes killed in the same moment, and a day of bad luck."""

import signal

from tests.chaos import nemesis
from tests.chaos.deployments import signal_all
from tests.chaos.rows import FINE, Row, Size
from tests.chaos.scene import Outcome, Scene


def kill_everything(scene: Scene) -> None:
    """Supervisors first: they would start the others again."""
    signal_all(scene.deployment.processes(), signal.SIGKILL)
    for product in scene.deployment.instances:
        product.wait()


def kill_everything_and_servers(scene: Scene) -> None:
    postgresql = scene.cluster.postgresql
    scene.cluster.valkey.kill()
    signal_all([*scene.deployment.processes(), *postgresql.processes()], signal.SIGKILL)
    for product in scene.deployment.instances:
        product.wait()
    postgresql.clear_up()


def start_again(scene: Scene) -> None:
    scene.deployment.start_again()


def killed(scene: Scene, size: Size) -> Outcome:
    return scene.under(size.lasting(), kill_everything, heal=start_again, t_max_s=40)


def killed_with_servers(scene: Scene, size: Size) -> Outcome:
    return scene.under(size.lasting(), kill_everything_and_servers, heal=start_again, t_max_s=40)


ROWS = (
    Row(
        id="X2",
        fault="kill -9 of everything at once, valkey too, then started again",
        profile="single",
        seen="what had begun ends failed with its text, the rest is answered",
        endings=FINE | {"worker_lost"},
        hits=frozenset({"worker_lost"}),
        play=killed,
    ),
    Row(
        id="X2-all",
        fault="kill -9 of both instances, PostgreSQL and Valkey at once, then started again",
        profile="cluster",
        seen="what had begun ends failed with its text, the rest is answered",
        endings=FINE | {"worker_lost"},
        hits=frozenset({"worker_lost"}),
        play=killed_with_servers,
        is_long=True,
    ),
    Row(
        id="X1",
        fault="a fault every 3 to 8 s, chosen by chance, two at once at most",
        profile="cluster",
        seen="each message is answered or ends with a reason",
        endings=nemesis.ENDINGS,
        complaints=nemesis.COMPLAINTS,
        play=nemesis.play,
        is_long=True,
    ),
)
