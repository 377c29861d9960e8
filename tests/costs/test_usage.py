import pytest

from costs import usage
from costs.usage import Usage


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5}, Usage(input=10, output=5)),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 6},
                "completion_tokens_details": {"reasoning_tokens": 40, "audio_tokens": 2},
            },
            Usage(input=30, input_audio=6, cache_read=64, output=8, reasoning=40, output_audio=2),
        ),
        (
            {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 99}},
            Usage(cache_read=10),
        ),
        ({"prompt_tokens": None, "completion_tokens": -3}, Usage()),
        ({"prompt_tokens": 4, "prompt_tokens_details": None}, Usage(input=4)),
        ({}, Usage()),
    ],
)
def test_openai_usage_is_split_without_overlap(raw, expected):
    assert usage.from_openai(raw) == expected


def test_the_classes_add_up_to_the_provider_s_totals():
    counted = usage.from_openai(
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "prompt_tokens_details": {"cached_tokens": 64},
            "completion_tokens_details": {"reasoning_tokens": 40},
        }
    )
    assert (counted.prompt_tokens, counted.completion_tokens, counted.total_tokens) == (
        100,
        50,
        150,
    )
    assert counted.by_class() == {"input": 36, "cache_read": 64, "output": 10, "reasoning": 40}


def test_snapshots_of_one_call_are_folded_and_not_added():
    first = usage.fold({}, {"prompt_tokens": 35, "completion_tokens": 1})
    last = usage.fold(first, {"prompt_tokens": 35, "completion_tokens": 5, "total_tokens": None})
    assert usage.from_openai(last) == Usage(input=35, output=5)


def test_a_later_snapshot_keeps_the_details_it_does_not_mention():
    first = {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}
    folded = usage.fold(first, {"completion_tokens": 2, "prompt_tokens_details": {}})
    assert usage.from_openai(folded) == Usage(input=5, cache_read=4, output=2)
