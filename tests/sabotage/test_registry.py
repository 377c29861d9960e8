"""The mutations still fit the code, so that a run of them says something."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.sabotage.mutation import Mutation, NotThere
from tests.sabotage.registry import MUTATIONS, PROMISES

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_code_that_carries_a_promise_is_where_it_is_said_to_be(
    mutation: Mutation, tmp_path: Path
) -> None:
    copied = tmp_path / mutation.path
    copied.parent.mkdir(parents=True)
    copied.write_text((ROOT / mutation.path).read_text())
    mutation.apply(tmp_path)
    assert copied.read_text() != (ROOT / mutation.path).read_text()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_tests_that_must_fail_exist(mutation: Mutation) -> None:
    assert mutation.tests
    for test in mutation.tests:
        path, _, name = test.partition("::")
        defined = rf"^(async )?def {name.partition('[')[0]}\("
        assert re.search(defined, (ROOT / path).read_text(), re.MULTILINE), test


def test_every_promise_is_broken_by_something() -> None:
    assert {mutation.promise for mutation in MUTATIONS} >= set(PROMISES)


def test_names_are_unique() -> None:
    assert [name for name, n in Counter(m.name for m in MUTATIONS).items() if n > 1] == []


def test_code_that_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\nx = 1\n")
    for old in ("y = 1\n", "x = 1\n"):
        mutation = Mutation(promise="G1", name="n", path="a.py", old=old, new="", tests=("t",))
        with pytest.raises(NotThere):
            mutation.apply(tmp_path)
