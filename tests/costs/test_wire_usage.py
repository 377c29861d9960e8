"""Every usage object of a call folds into one and splits into the classes that are billed."""

import pytest

from costs import wire_usage
from costs.usage import FEE_CLASSES, Usage
from costs.wire_usage import Counted
from tests.costs import usage_rows

TABLES = (
    (wire_usage.OPENAI, usage_rows.OPENAI),
    (wire_usage.ANTHROPIC, usage_rows.ANTHROPIC),
    (wire_usage.GEMINI, usage_rows.GEMINI),
)
ROWS = [(kind, *row) for kind, rows in TABLES for row in rows]


@pytest.mark.parametrize(
    ("kind", "said", "expected", "flags"),
    [pytest.param(kind, *rest, id=name) for kind, name, *rest in ROWS],
)
def test_what_a_provider_said_is_split_as_it_bills(kind, said, expected, flags):
    raw = {}
    for one in said:
        raw = kind.fold(raw, one)
    counted = kind.split(raw)
    assert counted == Counted(usage=Usage(**expected), flags=flags)
    assert kind.split(kind.fold(raw, said[-1])) == counted, "the last one again changes nothing"


def test_there_are_enough_rows_and_no_two_of_a_name():
    assert len(ROWS) > 60
    for _, rows in TABLES:
        assert len({name for name, *_ in rows}) == len(rows)


def test_fees_are_no_tokens():
    used = Usage(input=3, output=2, web_search=4)
    assert (used.prompt_tokens, used.completion_tokens, used.total_tokens) == (3, 2, 5)
    assert FEE_CLASSES == ("web_search",)
    assert (used + used).by_class() == {"input": 6, "output": 4, "web_search": 8}


def test_what_stands_beside_the_counts_is_kept():
    start = {"input_tokens": 9, "service_tier": "priority", "speed": "fast", "inference_geo": "us"}
    raw = wire_usage.ANTHROPIC.fold(start, {"output_tokens": 4, "service_tier": None})
    assert raw == start | {"output_tokens": 4}
    stated = wire_usage.OPENAI.fold({}, {"prompt_tokens": 5, "cost": 0.00045})
    assert stated["cost"] == 0.00045
