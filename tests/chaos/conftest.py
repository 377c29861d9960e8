"""Each deployment is started once and put through all its faults, one after the other."""

from collections.abc import Iterator

import pytest

from tests import install_nginx
from tests.chaos.deployments import Cluster, Single
from tests.chaos.scene import Scene, playing
from tests.fakes.provider import FakeProvider


@pytest.fixture(scope="package")
def chaos_provider() -> Iterator[FakeProvider]:
    with FakeProvider.in_thread() as fake:
        yield fake


@pytest.fixture(scope="package")
def single(chaos_provider: FakeProvider) -> Iterator[Scene]:
    """One machine: `manage.py up` on SQLite."""
    with playing(Single(chaos_provider), chaos_provider) as scene:
        yield scene


@pytest.fixture(scope="package")
def cluster(chaos_provider: FakeProvider) -> Iterator[Scene]:
    """Two instances behind nginx on PostgreSQL."""
    assert install_nginx.executable(), install_nginx.MISSING
    with playing(Cluster(chaos_provider), chaos_provider) as scene:
        yield scene
