"""Raw text: the pieces, and one mark at the end."""

from chat import events
from chat.wire.text import TextEncoder


def told(run):
    return [frame.text for frame in run.told_by(TextEncoder())]


def test_F85_an_answer_is_its_pieces_and_a_mark(finished):
    assert told(finished) == ["It ", "is 100.", "[DONE]"]


def test_F83_an_answer_that_broke_off_says_so(failed):
    assert told(failed) == ["It ", "\n[Error: Stream interrupted]", "[DONE]"]


def test_an_answer_that_was_stopped_is_whole(run):
    run.call("It ")
    run.say(events.RunCancelled())
    assert told(run) == ["It ", "[DONE]"]


def test_G9b_what_cannot_be_taken_back_ends_interrupted(retracted):
    assert told(retracted) == ["It ", "\n[Error: Stream interrupted]", "[DONE]"]
