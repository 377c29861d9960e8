from hypothesis import given
from hypothesis import strategies as st

from chat import audit, draft, events
from chat.draft import Draft
from chat.parts import ReasoningPart, TextPart, ToolCallPart, ToolResultPart

TOLD = {"tokens": 0, "cost": None}
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("text"), st.text(min_size=1)),
        st.tuples(st.just("reasoning"), st.text(min_size=1)),
        st.tuples(st.just("tool_call"), st.sampled_from(["a", "b", "c"])),
        st.tuples(st.just("arguments"), st.sampled_from(["{", "}", '{"x": 1}', "nonsense"])),
        st.tuples(st.just("result"), st.sampled_from(["a", "b", "c", "unknown"])),
        st.tuples(st.just("close"), st.none()),
    )
)


def play(answer, steps):
    for kind, value in steps:
        match kind:
            case "text":
                yield from answer.text(value, **TOLD)
            case "reasoning":
                yield from answer.reasoning(value, **TOLD)
            case "tool_call":
                yield from answer.tool_call(tool_call_id=value, name="tool")
            case "arguments":
                yield from answer.tool_arguments(value, **TOLD)
            case "result":
                yield from answer.tool_result(tool_call_id=value, content="!", is_error=False)
            case "close":
                yield from answer.close()


@given(STEPS)
def test_whatever_an_agent_says_every_start_has_its_end(steps):
    answer = Draft(message_id="m")
    said = [*play(answer, steps), *answer.finish()]
    assert list(audit.wrong_in_parts(said, answer.parts)) == []


@given(STEPS, st.data())
def test_an_answer_cut_anywhere_is_rebuilt_from_its_events(steps, data):
    answer = Draft(message_id="m")
    said = list(play(answer, steps))
    cut = data.draw(st.integers(0, len(said)))
    rebuilt = draft.replay("m", said[:cut])
    told = [*said[:cut], *rebuilt.finish()]
    assert list(audit.wrong_in_parts(told, rebuilt.parts)) == []


@given(STEPS)
def test_a_rebuilt_answer_equals_the_answer(steps):
    answer = Draft(message_id="m")
    said = [*play(answer, steps), *answer.finish()]
    assert draft.replay("m", said).parts == answer.parts


def test_text_reasoning_and_tools_become_parts_in_order():
    answer = Draft(message_id="m")
    list(
        play(
            answer,
            [
                ("reasoning", "Hm. "),
                ("reasoning", "6*7."),
                ("tool_call", "a"),
                ("arguments", '{"x":'),
                ("arguments", " 1}"),
                ("result", "a"),
                ("text", "It "),
                ("text", "is 42."),
            ],
        )
    )
    list(answer.finish())
    assert answer.parts == [
        ReasoningPart(text="Hm. 6*7."),
        ToolCallPart(tool_call_id="a", name="tool", arguments={"x": 1}),
        ToolResultPart(tool_call_id="a", name="tool", content="!"),
        TextPart(text="It is 42."),
    ]


def test_a_call_without_an_answer_gets_one_so_that_the_next_model_accepts_the_history():
    answer = Draft(message_id="m")
    list(play(answer, [("tool_call", "a")]))
    ended = list(answer.finish())
    assert isinstance(ended[-1], events.ToolFailed)
    assert answer.parts[-1].is_error


def test_arguments_that_are_no_json_are_told_as_none():
    answer = Draft(message_id="m")
    list(play(answer, [("tool_call", "a"), ("arguments", "{oops")]))
    assert next(iter(answer.close())).arguments is None
