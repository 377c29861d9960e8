"""What happens to a machine: its clock is wrong, its disk is full.

Each needs a deployment of its own, because the machine is so from the start.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.deployments import Cluster, Deployment, Single
from tests.chaos.rows import FINE, Row, Size
from tests.chaos.scene import Outcome, Scene
from tests.chaos.talks import Load
from tests.chaos.worker_faults import LOST_WITHIN_S, kill_worker
from tests.process.product import Product

DISK_MB = 64


@contextlib.contextmanager
def playing(deployment: Deployment, scene: Scene) -> Iterator[Scene]:
    """A scene beside the one that everybody shares."""
    other = Scene(deployment, scene.provider)
    try:
        deployment.start()
        yield other
    finally:
        other.close()
        deployment.end()


def wrong_clock(seconds: int) -> dict[str, str]:
    """The environment of processes whose clock is so far ahead, or behind."""
    assert shutil.which("faketime"), "install faketime, for example as Debian's package"
    told = subprocess.run(
        ["faketime", "-f", f"{seconds:+d}s", "printenv", "LD_PRELOAD"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        "LD_PRELOAD": told.stdout.strip(),
        "FAKETIME": f"{seconds:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def clock_error_s(product: Product) -> float:
    """How far the clock of an instance's processes is ahead."""
    told = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env=product.whole_environment,
        capture_output=True,
        check=True,
    )
    return float(told.stdout) - time.time()


def skewed(scene: Scene, size: Size, seconds: int) -> Outcome:
    """A worker is killed, so that one with another clock decides what was lost when."""
    deployment = Cluster(scene.provider, second=wrong_clock(seconds))
    with playing(deployment, scene) as other:
        error_s = clock_error_s(deployment.instances[1])
        assert abs(error_s - seconds) < 5, f"the clock is {error_s:.0f} s off, not {seconds}"
        outcome = other.under(size.lasting(), kill_worker, t_max_s=LOST_WITHIN_S)
        outcome.problems += other.audit()
        return outcome


def ahead(scene: Scene, size: Size) -> Outcome:
    return skewed(scene, size, 90)


def behind(scene: Scene, size: Size) -> Outcome:
    return skewed(scene, size, -90)


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 2**20)
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 512)
    return filler


def full_disk(scene: Scene, size: Size) -> Outcome:
    """The database, its log and the product's own log are all on it."""
    assert os.geteuid() == 0, "only root may mount a small disk"
    deployment = Single(scene.provider)
    disk = deployment.folder / "one"
    disk.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(disk)], check=True
    )
    deployment.ends.callback(subprocess.run, ["umount", str(disk)], check=True)
    fillers: list[Path] = []
    with playing(deployment, scene) as other:
        outcome = other.under(
            size.load(streams=min(size.streams, 20)),
            lambda _: fillers.append(fill(disk)),
            heal=lambda _: fillers[0].unlink(),
            hold_s=5,
            t_max_s=20,
            meanwhile=Load(streams=2, tokens=20, restless=0, stopping=0),
        )
        outcome.problems += other.audit()
        return outcome


ROWS = (
    Row(
        id="Q2",
        fault="the disk full for 5 s",
        profile="single",
        seen="a pause, and then everything; messages are refused meanwhile",
        endings=FINE | {"storage"},
        complaints=r"No space left on device|disk is full|disk I/O error",
        play=full_disk,
        is_long=True,
    ),
    Row(
        id="T1f",
        fault="one instance's clock 90 s ahead, and the other's worker killed",
        profile="cluster",
        seen="what is seen with right clocks",
        endings=FINE | {"worker_lost"},
        hits=frozenset({"worker_lost"}),
        play=ahead,
        is_long=True,
    ),
    Row(
        id="T1f-behind",
        fault="one instance's clock 90 s behind, and the other's worker killed",
        profile="cluster",
        seen="what is seen with right clocks",
        endings=FINE | {"worker_lost"},
        hits=frozenset({"worker_lost"}),
        play=behind,
        is_long=True,
    ),
)
