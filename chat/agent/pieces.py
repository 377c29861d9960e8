"""What an agent says, piece by piece, in our own words."""

from dataclasses import dataclass, field
from typing import Any

from chat.agent.artifacts import Artifact


@dataclass(frozen=True, slots=True)
class Text:
    delta: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    delta: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model began to call a tool."""

    tool_call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolArguments:
    """The next piece of the JSON text of the call that was begun last."""

    delta: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    tool_call_id: str
    content: str
    is_error: bool = False
    artifacts: tuple[Artifact, ...] = ()


@dataclass(frozen=True, slots=True)
class StepCompleted:
    node: str


@dataclass(frozen=True, slots=True)
class Progress:
    step: int
    total: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class ToolProgress:
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Custom:
    name: str
    data: Any = field(default=None)


Piece = (
    Text
    | Reasoning
    | ToolCall
    | ToolArguments
    | ToolResult
    | StepCompleted
    | Progress
    | ToolProgress
    | Custom
)
