"""What a call is charged for, however it ends and whatever its provider has said by then."""

import pytest

from costs import wire_usage
from costs.tally import Source, Status, Tally
from costs.usage import Usage

START = {"input_tokens": 50, "cache_read_input_tokens": 10_000, "output_tokens": 1}


def tally(*said):
    """A call with an estimated prompt of 99 tokens; text is what came, the rest usage."""
    made = Tally(prompt_tokens=99)
    for part in said:
        if isinstance(part, str):
            for word in part.split(" "):
                made.add_piece(word)
        else:
            kind = wire_usage.ANTHROPIC if "input_tokens" in part else wire_usage.GEMINI
            made.take(part, kind)
    return made


@pytest.mark.parametrize(
    ("said", "status", "usage", "source", "flags"),
    [
        (["a b c"], Status.COMPLETE, Usage(input=99, output=3), Source.ESTIMATED, ()),
        ([], Status.FAILED, None, Source.NONE, ()),
        # The answer had begun, so the prompt was read.
        ([""], Status.FAILED, Usage(input=99), Source.ESTIMATED, ("billing_uncertain",)),
        (
            ["a b"],
            Status.FAILED,
            Usage(input=99, output=2),
            Source.ESTIMATED,
            ("billing_uncertain",),
        ),
        # What was said of the prompt is exact, what came of the answer is not counted yet.
        (
            [START, "a b c"],
            Status.CANCELLED,
            Usage(input=50, cache_read=10_000, output=3),
            Source.ESTIMATED,
            (),
        ),
        (
            [START],
            Status.CANCELLED,
            Usage(input=50, cache_read=10_000, output=1),
            Source.ESTIMATED,
            (),
        ),
        # Counted with every piece; those that were on their way are not known.
        (
            ["a b", {"promptTokenCount": 40, "candidatesTokenCount": 7, "thoughtsTokenCount": 5}],
            Status.CANCELLED,
            Usage(input=40, output=7, reasoning=5),
            Source.ESTIMATED,
            (),
        ),
        (
            [{"promptTokenCount": 40, "candidatesTokenCount": 1, "thoughtsTokenCount": 5}, "a b c"],
            Status.TRUNCATED,
            Usage(input=40, output=1, reasoning=5),
            Source.ESTIMATED,
            ("billing_uncertain",),
        ),
        (
            ["a b", {"promptTokenCount": 0, "candidatesTokenCount": 0}],
            Status.COMPLETE,
            Usage(input=99, output=2),
            Source.ESTIMATED,
            ("zero_usage",),
        ),
    ],
)
def test_what_is_known_is_charged_and_the_rest_is_estimated(said, status, usage, source, flags):
    is_finished = status == Status.COMPLETE
    assert tally(*said).final(status, is_finished=is_finished) == (usage, source, flags)


@pytest.mark.parametrize(
    ("said", "status", "usage"),
    [
        ([{"promptTokenCount": 12}], Status.FAILED, Usage(input=12)),
        (
            ["a b", {"promptTokenCount": 40, "candidatesTokenCount": 7}],
            Status.CANCELLED,
            Usage(input=40, output=7),
        ),
    ],
)
def test_what_a_provider_says_at_its_end_is_exact_whatever_comes_after(said, status, usage):
    assert tally(*said).final(status, is_finished=True) == (usage, Source.PROVIDER, ())


def test_what_is_kept_for_a_crash_knows_the_prompt():
    assert tally("a").best() == Usage(input=99, output=1)
    assert tally(START, "a b c").best() == Usage(input=50, cache_read=10_000, output=3)
