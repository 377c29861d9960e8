"""What happens to workers: killed, frozen, told to stop, never there."""

import contextlib
import math
import os
import random
import signal
import time
from collections.abc import Callable, Sequence

import psutil
from celery import Celery

from tests.chaos.deployments import signal_all
from tests.chaos.rows import FINE, Row, Size
from tests.chaos.scene import Outcome, Scene
from tests.chaos.talks import Talk
from tests.process.product import Product

QUEUE = "chatledger.runs"
#: A lease of 15 s, the reaper, and what the next attempt needs to begin.
LOST_WITHIN_S = 25.0
#: Fifty at once, on a machine that has two cores for everything.
ACCEPTED_WITHIN_S = 2.0


def busiest(scene: Scene) -> Product:
    """The instance whose worker has the most answers open at the provider."""
    return max(scene.deployment.instances, key=lambda p: open_answers(scene, p.child("worker")))


def open_answers(scene: Scene, worker: psutil.Process) -> int:
    """How many connections to the provider a worker has."""
    ends = [connection.raddr for connection in worker.net_connections("tcp")]
    return sum(bool(end) and end.port == scene.deployment.provider_link.port for end in ends)


def kill_worker(scene: Scene) -> None:
    """Kill -9 of every process of one worker."""
    worker = busiest(scene).child("worker")
    signal_all([worker, *worker.children(recursive=True)], signal.SIGKILL)


def kill_group(scene: Scene) -> None:
    """Kill -9 of the process group, as the kernel does when memory is short."""
    os.killpg(busiest(scene).child("worker").pid, signal.SIGKILL)


def terminate(scene: Scene) -> None:
    busiest(scene).child("worker").terminate()


def terminate_twice(scene: Scene) -> None:
    worker = busiest(scene).child("worker")
    worker.terminate()
    time.sleep(0.5)
    with contextlib.suppress(psutil.NoSuchProcess):
        worker.terminate()


def quit_at_once(scene: Scene) -> None:
    busiest(scene).child("worker").send_signal(signal.SIGQUIT)


def ring_again(scene: Scene, talks: Sequence[Talk]) -> None:
    """Deliver the task of each run ten more times."""
    with Celery(broker=scene.deployment.broker_url) as celery:
        for talk in talks:
            for _ in range(10):
                celery.send_task("chat.execute", (talk.run_id,), queue=QUEUE)


def killed(scene: Scene, size: Size) -> Outcome:
    return scene.under(size.lasting(), kill_worker, t_max_s=LOST_WITHIN_S)


def group_killed(scene: Scene, size: Size) -> Outcome:
    return scene.under(size.lasting(), kill_group, t_max_s=LOST_WITHIN_S)


def stopped(scene: Scene, size: Size) -> Outcome:
    # Long enough that they do not just end within the grace.
    load = size.load(tokens=max(size.tokens, 65))
    return scene.under(load, terminate, t_max_s=20)


def stopped_twice(scene: Scene, size: Size) -> Outcome:
    return scene.under(size.load(), terminate_twice, t_max_s=LOST_WITHIN_S)


def quit_cold(scene: Scene, size: Size) -> Outcome:
    return scene.under(size.load(), quit_at_once, t_max_s=LOST_WITHIN_S)


def frozen(scene: Scene, size: Size) -> Outcome:
    """Longer than a lease lasts; when it thaws, somebody else has its runs."""
    return _frozen(scene, size, lambda worker: worker.suspend())


def frozen_with_locks(scene: Scene, size: Size) -> Outcome:
    """Frozen between two statements of a transaction, whose locks the database keeps."""

    def freeze(worker: psutil.Process) -> None:
        for _ in range(200):
            worker.suspend()
            time.sleep(0.05)
            if scene.cluster.postgresql.open_transactions():
                return
            worker.resume()
            time.sleep(random.uniform(0.01, 0.05))
        raise AssertionError("never caught in the middle of a transaction")

    return _frozen(scene, size, freeze)


def _frozen(scene: Scene, size: Size, freeze: Callable[[psutil.Process], None]) -> Outcome:
    held: list[psutil.Process] = []

    def provoke(scene: Scene) -> None:
        held.append(busiest(scene).child("worker"))
        freeze(held[0])

    return scene.under(
        size.load(),
        provoke,
        heal=lambda _: held[0].resume(),
        hold_s=40 if size.is_long else 20,
        t_max_s=LOST_WITHIN_S,
    )


def delivered_again(scene: Scene, size: Size) -> Outcome:
    talks = scene.streaming(size.load())
    ring_again(scene, talks)
    scene.wait_until_ended(talks, timeout_s=size.load().duration_s + 10)
    return scene.judge(talks)


def queue_lost(scene: Scene, size: Size) -> Outcome:
    """The workers stand still while messages are accepted and their tasks are deleted."""
    workers = [product.child("worker") for product in scene.deployment.instances]
    scene.forget_logs()
    talks = size.load(tokens=20, stopping=0).talks([scene.url])
    for worker in workers:
        worker.suspend()
    scene.crowd.begin(talks)
    scene.crowd.wait_for(talks, lambda talk: bool(talk.run_ids), timeout_s=10)
    with scene.deployment.redis() as client:
        client.delete(QUEUE)
    for worker in workers:
        worker.resume()
    healed_at = time.monotonic()
    scene.wait_until_ended(talks, timeout_s=30)
    return scene.judge(talks, healed_at=healed_at, t_max_s=15)


def away(scene: Scene, size: Size) -> Outcome:
    """No worker for a minute: their supervisors stand still, and start them when they go on."""
    supervisors = [psutil.Process(product.pid) for product in scene.deployment.instances]
    workers = [product.child("worker") for product in scene.deployment.instances]
    scene.forget_logs()
    for supervisor in supervisors:
        supervisor.suspend()
    signal_all(workers, signal.SIGKILL)
    talks = size.load(stopping=0).talks([scene.url])
    scene.crowd.begin(talks)
    time.sleep(60 if size.is_long else 10)
    slowest_s = max(talk.accepted_after_s or math.inf for talk in talks)
    for supervisor in supervisors:
        supervisor.resume()
    healed_at = time.monotonic()
    scene.wait_until_ended(talks, timeout_s=60)
    outcome = scene.judge(talks, healed_at=healed_at, t_max_s=20)
    if slowest_s > ACCEPTED_WITHIN_S:
        outcome.problems.append(f"a message was accepted after {slowest_s:.1f} s")
    return outcome


ROWS = (
    Row(
        id="W1",
        fault="kill -9 of a worker in mid-stream",
        profile="cluster",
        seen="its runs end failed with their text, or go on as another attempt",
        endings=FINE | {"worker_lost"},
        hits=frozenset({"worker_lost"}),
        play=killed,
    ),
    Row(
        id="W2",
        fault="kill -9 of the worker's process group, and no other worker",
        profile="single",
        seen="its runs end failed with their text, or go on as another attempt",
        endings=FINE | {"worker_lost"},
        hits=frozenset({"worker_lost"}),
        play=group_killed,
        is_long=True,
    ),
    Row(
        id="W3",
        fault="SIGTERM to a worker, another one is there",
        profile="cluster",
        seen="its runs end, or go on as another attempt",
        endings=FINE | {"interrupted"},
        play=stopped,
    ),
    Row(
        id="W4",
        fault="SIGTERM to a worker, twice",
        profile="cluster",
        seen="its runs end, or go on as another attempt",
        endings=FINE | {"interrupted", "worker_lost"},
        play=stopped_twice,
        is_long=True,
    ),
    Row(
        id="W4-quit",
        fault="SIGQUIT to a worker",
        profile="cluster",
        seen="its runs end failed with their text, or go on as another attempt",
        endings=FINE | {"interrupted", "worker_lost"},
        complaints="does not implement kill_job",
        play=quit_cold,
        is_long=True,
    ),
    Row(
        id="W5",
        fault="a worker frozen for longer than its leases, then thawed",
        profile="cluster",
        seen="what the new owner of the run says, and nothing of the old one",
        endings=FINE | {"worker_lost"},
        longest_gap_s=LOST_WITHIN_S,
        play=frozen,
        is_long=True,
    ),
    Row(
        id="W5-locks",
        fault="a worker frozen in the middle of a transaction",
        profile="cluster",
        seen="what the new owner of the run says, and nothing of the old one",
        endings=FINE | {"worker_lost"},
        longest_gap_s=LOST_WITHIN_S,
        play=frozen_with_locks,
        is_long=True,
    ),
    Row(
        id="W6",
        fault="each task delivered ten more times",
        profile="cluster",
        seen="nothing",
        play=delivered_again,
    ),
    Row(
        id="W7",
        fault="the queue deleted after the messages were accepted",
        profile="cluster",
        seen="an answer that starts some seconds late",
        play=queue_lost,
    ),
    Row(
        id="W8",
        fault="no worker for 60 s",
        profile="cluster",
        seen="messages are accepted at once and answered later",
        play=away,
        is_long=True,
    ),
)
