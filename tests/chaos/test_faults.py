"""The fault matrix in its short form; `python -m tests.chaos` plays all of it at full load."""

import pytest

from tests.chaos.faults import rows_of
from tests.chaos.rows import SHORT, Row
from tests.chaos.scene import Scene

pytestmark = pytest.mark.chaos


def check(row: Row, scene: Scene) -> None:
    problems = row.problems(row.play(scene, SHORT))
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("row", rows_of("single", with_long=False), ids=lambda row: row.id)
def test_single(single: Scene, row: Row) -> None:
    check(row, single)


def test_single_audit(single: Scene) -> None:
    assert single.audit() == []


@pytest.mark.parametrize("row", rows_of("cluster", with_long=False), ids=lambda row: row.id)
def test_cluster(cluster: Scene, row: Row) -> None:
    check(row, cluster)


def test_cluster_audit(cluster: Scene) -> None:
    assert cluster.audit() == []
