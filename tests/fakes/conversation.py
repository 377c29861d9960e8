"""A request in the words that all APIs share: who said what, and how the answer is wanted."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: `role` is `system`, `user`, `assistant` or `tool`, `content` as it came."""

    role: str
    content: Any

    @property
    def text(self) -> str:
        return text_of(self.content)


def text_of(content: Any) -> str:
    """The text of a content, which is a string or a list of parts."""
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A valid request.

    `thoughts_wanted` and `usage_wanted` say whether the answer is to show what there is of
    reasoning and of usage; some APIs have to be asked for that.
    """

    model: str
    turns: list[Turn]
    streamed: bool
    thoughts_wanted: bool = False
    usage_wanted: bool = True

    @property
    def user_text(self) -> str:
        """What the last user message says."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")

    @property
    def words(self) -> int:
        return sum(len(turn.text.split()) for turn in self.turns)

    @property
    def tool_results(self) -> list[str]:
        """The contents of the tool turns that follow the last user turn."""
        results: list[str] = []
        for turn in self.turns:
            if turn.role == "user":
                results = []
            elif turn.role == "tool":
                results.append(turn.text)
        return results
