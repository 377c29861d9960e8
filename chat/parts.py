"""The parts of a message: text, reasoning, tool calls and tool results, as plain values."""

import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Value(BaseModel):
    """A frozen value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TextPart(Value):
    type: Literal["text"] = "text"
    text: str


class ReasoningPart(Value):
    type: Literal["reasoning"] = "reasoning"
    text: str


class ToolCallPart(Value):
    type: Literal["tool_call"] = "tool_call"
    tool_call_id: str
    name: str
    #: What the model asked for; None when its JSON could not be read.
    arguments: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a tool made: `name` is the file's, `title` says in words what there is to see."""

    name: str
    title: str
    content_type: str
    content: bytes = field(repr=False)
    artifact_id: uuid.UUID = field(default_factory=uuid.uuid4)


class ArtifactRef(Value):
    """What a tool made beside its text, and where to get it; `title` says what there is to see."""

    artifact_id: str
    name: str
    title: str
    content_type: str
    size: int
    url: str


#: Left out where there are none, as in most results.
ArtifactRefs = Annotated[tuple[ArtifactRef, ...], Field(exclude_if=lambda refs: not refs)]


class ToolResultPart(Value):
    type: Literal["tool_result"] = "tool_result"
    tool_call_id: str
    name: str
    content: str
    is_error: bool = False
    artifacts: ArtifactRefs = ()


Part = Annotated[
    TextPart | ReasoningPart | ToolCallPart | ToolResultPart, Field(discriminator="type")
]

_PARTS: TypeAdapter[list[Part]] = TypeAdapter(list[Part])


def load(value: list[dict[str, Any]]) -> list[Part]:
    """Read the parts of a message from their stored JSON form.

    Raises pydantic.ValidationError when the value is not a list of known parts.
    """
    return _PARTS.validate_python(value)


def dump(parts: list[Part]) -> list[dict[str, Any]]:
    """Give the JSON form of `parts`; the inverse of `load`."""
    return [part.model_dump(mode="json") for part in parts]


def text_of(parts: list[Part]) -> str:
    """Join the text parts, without reasoning and tools."""
    return "".join(part.text for part in parts if isinstance(part, TextPart))
