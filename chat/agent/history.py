"""The conversation as a model gets it: the newest messages that fit its token window."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage

from chat.parts import Part, TextPart, ToolCallPart, ToolResultPart, text_of
from costs import tokens


@dataclass(frozen=True, slots=True)
class Turn:
    """One stored message: who spoke, and the parts."""

    role: str
    parts: Sequence[Part]


def newest(turns: Sequence[Turn], exchanges: int | None) -> Sequence[Turn]:
    """Keep the last turn and so many exchanges before it, each from its question on; None: all."""
    asked = [position for position, turn in enumerate(turns) if turn.role == "user"]
    if exchanges is None or len(asked) <= exchanges:
        return turns
    return turns[asked[-exchanges - 1] :]


def within(turns: Sequence[Turn], *, window_tokens: int) -> list[Turn]:
    """Keep the newest turns that fit, always with the last one, and begin with a user's turn."""
    kept: list[Turn] = []
    left = window_tokens
    for turn in reversed(turns):
        left -= _size(turn)
        if kept and left < 0:
            break
        kept.insert(0, turn)
    while len(kept) > 1 and kept[0].role != "user":
        kept.pop(0)
    return kept


def to_langchain(turns: Sequence[Turn]) -> list[BaseMessage]:
    """Write the turns as LangChain messages; a tool's result becomes a message of its own."""
    return [message for turn in turns for message in _messages(turn)]


def _messages(turn: Turn) -> Iterator[BaseMessage]:
    if turn.role == "user":
        yield HumanMessage(text_of(list(turn.parts)))
        return
    text: list[str] = []
    calls: list[ToolCall] = []
    for part in turn.parts:
        # Results follow their calls, so whatever else comes after one begins a new message.
        if isinstance(part, TextPart):
            text.append(part.text)
        elif isinstance(part, ToolCallPart):
            calls.append(ToolCall(id=part.tool_call_id, name=part.name, args=part.arguments or {}))
        elif isinstance(part, ToolResultPart):
            if text or calls:
                yield AIMessage("".join(text), tool_calls=calls)
                text, calls = [], []
            yield ToolMessage(part.content, tool_call_id=part.tool_call_id, name=part.name)
    if text:
        yield AIMessage("".join(text))


def _size(turn: Turn) -> int:
    text = "".join(part.model_dump_json() for part in turn.parts)
    return tokens.estimate(text) + tokens.MESSAGE_OVERHEAD
