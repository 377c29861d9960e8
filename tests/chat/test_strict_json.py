import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat import strict_json
from chat.strict_json import InvalidJson

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**50), 10**50)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_ordinary_json_is_read_like_everywhere(value):
    assert strict_json.loads(json.dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{nope",
        '{"a": NaN}',
        "[Infinity]",
        "-Infinity",
        "1e999",
        "9" * 101,
        '{"type": "cancel", "type": "message"}',
        '"\\ud800"',
        '{"\\udc00": 1}',
        "[" * 25 + "]" * 25,
        "[" * 100_000,
        '{"a":' * 100_000,
        b"\xff\xfe",
    ],
    ids=range(14),
)
def test_what_no_database_or_browser_could_take_is_refused(text):
    with pytest.raises(InvalidJson):
        strict_json.loads(text)


def test_a_surrogate_pair_is_one_character():
    assert strict_json.loads('"\\ud83d\\ude00"') == "😀"
