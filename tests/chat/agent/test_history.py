from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from chat.agent import history
from chat.agent.history import Turn
from chat.parts import ReasoningPart, TextPart, ToolCallPart, ToolResultPart


def user(text):
    return Turn("user", [TextPart(text=text)])


def assistant(text):
    return Turn("assistant", [TextPart(text=text)])


def test_the_newest_turns_that_fit_are_kept():
    turns = [user("a" * 400), assistant("b" * 400), user("c" * 400), assistant("d" * 40), user("e")]
    kept = history.within(turns, window_tokens=200)
    assert kept == turns[2:]


def test_a_conversation_begins_with_a_user():
    turns = [user("a" * 4000), assistant("b"), user("c")]
    assert history.within(turns, window_tokens=100) == [turns[2]]


def test_the_last_message_is_sent_even_when_it_is_too_long():
    turns = [user("a"), assistant("b"), user("c" * 10_000)]
    assert history.within(turns, window_tokens=10) == [turns[2]]


def test_everything_is_sent_when_it_fits():
    turns = [user("a"), assistant("b"), user("c")]
    assert history.within(turns, window_tokens=10_000) == turns


def test_tools_become_messages_as_models_want_them():
    turn = Turn(
        "assistant",
        [
            ReasoningPart(text="not sent"),
            TextPart(text="Let me see."),
            ToolCallPart(tool_call_id="1", name="t", arguments={"x": 1}),
            ToolResultPart(tool_call_id="1", name="t", content="42"),
            TextPart(text="It is 42."),
        ],
    )
    sent = history.to_langchain([user("?"), turn])
    assert [type(message) for message in sent] == [
        HumanMessage,
        AIMessage,
        ToolMessage,
        AIMessage,
    ]
    assert sent[1].tool_calls[0]["args"] == {"x": 1}
    assert (sent[1].content, sent[2].content, sent[3].content) == ("Let me see.", "42", "It is 42.")


def test_two_calls_at_once_stay_one_message():
    calls = [ToolCallPart(tool_call_id=i, name="t", arguments={}) for i in "12"]
    results = [ToolResultPart(tool_call_id=i, name="t", content=i) for i in "12"]
    sent = history.to_langchain([Turn("assistant", [*calls, *results])])
    assert [type(message) for message in sent] == [AIMessage, ToolMessage, ToolMessage]


def test_an_empty_answer_is_not_sent():
    assert history.to_langchain([Turn("assistant", [])]) == []
