"""What happens to workers: killed, frozen, told to stop, never there."""

import signal

from tests.chaos.deployments import signal_all
from tests.chaos.rows import FINE, Row, Size
from tests.chaos.scene import Outcome, Scene
from tests.process.product import Product


def busiest(scene: Scene) -> Product:
    """The instance whose worker has the most answers open at the provider."""
    return max(scene.deployment.instances, key=lambda product: _open_answers(scene, product))


def _open_answers(scene: Scene, product: Product) -> int:
    worker = product.child("worker")
    ends = [connection.raddr for connection in worker.net_connections("tcp")]
    return sum(bool(end) and end.port == scene.provider.port for end in ends)


def kill_worker(scene: Scene) -> None:
    """Kill -9 of every process of one worker."""
    worker = busiest(scene).child("worker")
    signal_all([worker, *worker.children(recursive=True)], signal.SIGKILL)


def killed(scene: Scene, size: Size) -> Outcome:
    return scene.under(size.load(), kill_worker, t_max_s=25)


ROWS = (
    Row(
        id="W1",
        fault="kill -9 of a worker in mid-stream",
        profile="cluster",
        seen="its runs end failed with their text, or go on as another attempt",
        endings=FINE | {"worker_lost"},
        play=killed,
    ),
)
