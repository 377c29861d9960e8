import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk, ToolMessage
from langchain_core.messages.tool import tool_call_chunk

from chat.agent import pieces
from chat.agent.translate import Translator, clean


def said(*texts):
    translator = Translator()
    chunks = [AIMessageChunk(content=text) for text in texts]
    told = [p for c in chunks for p in translator.translate("messages", (c, {}))]
    return "".join(piece.delta for piece in told)


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_the_pieces_joined_are_the_provider_s_text(texts):
    assert said(*texts) == "".join(texts)


@given(st.text(st.characters(min_codepoint=0x10000), min_size=1), st.data())
def test_an_emoji_cut_in_two_halves_arrives_whole(text, data):
    units = [chr(u) for u in memoryview(text.encode("utf-16-le")).cast("H")]
    cut = data.draw(st.integers(0, len(units)))
    assert said("".join(units[:cut]), "".join(units[cut:])) == text


def test_what_no_database_stores_is_replaced():
    assert said("a\0b", "\udc00c", "d") == "a\ufffdb\ufffdcd"
    assert clean("\ud800x") == "\ufffdx"


def test_U7_what_no_database_stores_is_replaced_in_everything_that_is_said():
    called = tool_call_chunk(name="t\0", args="\udc00", id="1\0", index=0)
    chunk = AIMessageChunk(
        content="", additional_kwargs={"reasoning_content": "a\0"}, tool_call_chunks=[called]
    )
    translator = Translator()
    assert list(translator.translate("messages", (chunk, {}))) == [
        pieces.Reasoning("a\ufffd"),
        pieces.ToolCall("1\ufffd", "t\ufffd"),
        pieces.ToolArguments("\ufffd"),
    ]


def test_a_tool_call_comes_with_its_arguments_piece_by_piece():
    translator = Translator()
    chunks = [
        AIMessageChunk(
            content="", tool_call_chunks=[tool_call_chunk(name="t", args="", id="1", index=0)]
        ),
        AIMessageChunk(
            content="", tool_call_chunks=[tool_call_chunk(name=None, args='{"x"', id=None, index=0)]
        ),
    ]
    told = [p for c in chunks for p in translator.translate("messages", (c, {}))]
    assert told == [pieces.ToolCall("1", "t"), pieces.ToolArguments('{"x"')]


def test_a_tool_s_result_is_told_once_although_it_comes_twice():
    translator = Translator()
    message = ToolMessage("42", tool_call_id="1")
    told = [
        *translator.translate("messages", (message, {})),
        *translator.translate("updates", {"tools": {"messages": [message]}}),
    ]
    assert told == [pieces.ToolResult("1", "42"), pieces.StepCompleted("tools")]


def test_M_8_a_very_long_result_is_shortened_and_says_so():
    message = ToolMessage("x" * 100_000, tool_call_id="1")
    (told,) = Translator().translate("messages", (message, {}))
    assert len(told.content) < 21_000
    assert "100000 characters" in told.content


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (
            {"progress": {"step": 1, "total": 3, "message": "one"}},
            pieces.Progress(1, 3, "one"),
        ),
        ({"progress": {"step": 2}}, pieces.Progress(2)),
        ({"tool_progress": {"name": "t", "text": "half"}}, pieces.ToolProgress("t", "half")),
        ({"name": "mine", "data": [1]}, pieces.Custom("mine", [1])),
        ("anything", pieces.Custom("custom", "anything")),
    ],
)
def test_a_tool_may_write_to_the_stream(payload, expected):
    assert list(Translator().translate("custom", payload)) == [expected]


@pytest.mark.parametrize(
    "thought",
    [
        {"content": "", "additional_kwargs": {"reasoning_content": "Hm"}},
        {"content": [{"type": "thinking", "thinking": "Hm", "index": 0}]},
        {"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}]},
    ],
    ids=["compatible servers", "Anthropic and Gemini", "Responses"],
)
def test_what_a_model_thinks_aloud_is_told_as_reasoning(thought):
    translator = Translator()
    chunks = [AIMessageChunk(**thought), AIMessageChunk(content=[{"type": "text", "text": "42"}])]
    told = [p for c in chunks for p in translator.translate("messages", (c, {}))]
    assert told == [pieces.Reasoning("Hm"), pieces.Text("42")]
