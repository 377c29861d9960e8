"""The table of faults says what there is."""

from collections import Counter

from tests.chaos.faults import ELSEWHERE, ROWS
from tests.process.product import ROOT


def test_each_row_has_an_id_of_its_own() -> None:
    count = Counter([row.id for row in ROWS] + [row_id for row_id, _, _ in ELSEWHERE])
    assert [row_id for row_id, times in count.items() if times > 1] == []


def test_what_is_said_to_be_elsewhere_is_there() -> None:
    assert [place for _, _, place in ELSEWHERE if not (ROOT / place).is_file()] == []
