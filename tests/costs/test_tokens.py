from hypothesis import given
from hypothesis import strategies as st

from costs import tokens


@given(st.text(), st.text())
def test_pieces_of_a_stream_add_up(first, second):
    whole = tokens.milli_tokens(first + second)
    assert tokens.milli_tokens(first) + tokens.milli_tokens(second) == whole


def test_only_no_text_has_no_tokens():
    assert tokens.estimate("") == 0
    assert tokens.estimate("a") == 1


def test_prose_is_estimated_within_a_tenth():
    # 31 tokens by o200k.
    prose = (
        "The quick brown fox jumps over the lazy dog, and then it sleeps for a very long time "
        "under the old oak tree near the quiet river that runs to the sea."
    )
    assert 28 <= tokens.estimate(prose) <= 40


def test_scripts_without_spaces_weigh_more():
    assert tokens.estimate("日本語の文章です") > tokens.estimate("abcdefgh")
