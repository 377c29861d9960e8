"""What the provider answers: the pieces of an answer and its finish reason."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.fakes.conversation import Question
from tests.fakes.directives import Directives, ToolRequest

DEFAULT_TOKENS = 20


@dataclass(frozen=True, slots=True)
class ToolOpening:
    """The beginning of a tool call; its id is one that no other answer uses."""

    index: int
    key: str
    tool: ToolRequest


@dataclass(frozen=True, slots=True)
class ToolArguments:
    """A part of the arguments of the tool call that was opened last."""

    index: int
    part: str


#: One token of an answer; a text stands for itself.
Piece = str | ToolOpening | ToolArguments


@dataclass(frozen=True, slots=True)
class Answer:
    """One planned answer; a token is drafted ahead and turned into a piece when it is sent."""

    number: int
    directives: Directives
    question: Question

    @property
    def tools(self) -> tuple[ToolRequest, ...]:
        """The tool calls that this answer makes; none once their results are there."""
        if self.directives.tool_forever or not self.question.tool_results:
            return self.directives.tools
        return ()

    @property
    def finish(self) -> str:
        return "tool_calls" if self.tools else self.directives.finish

    @property
    def thoughts(self) -> list[str]:
        """A summary of the reasoning in parts; its length says nothing of the tokens billed."""
        if not (self.question.thoughts_wanted and self.directives.reasoning):
            return []
        return list(cut_text(f"Thinking about answer {self.number}.", self.directives.cut))

    def drafts(self) -> Iterator[Piece]:
        if self.finish == "blocked":
            return iter(())
        return self.tool_drafts() if self.tools else self.text_drafts()

    def piece(self, draft: Piece) -> Piece:
        """A token as it leaves now."""
        if self.directives.stamp and isinstance(draft, str):
            return f"{draft}:{time.time_ns()} "
        return draft

    def tool_drafts(self) -> Iterator[Piece]:
        for opening in self.tool_openings():
            yield opening
            for part in cut_text(opening.tool.arguments, self.directives.cut):
                yield ToolArguments(opening.index, part)

    def tool_openings(self) -> list[ToolOpening]:
        return [
            ToolOpening(index, f"fake_{self.number}_{index}", tool)
            for index, tool in enumerate(self.tools)
        ]

    def text_drafts(self) -> Iterator[str]:
        text = self.fixed_text()
        if text is None:
            return self.numbered_drafts()
        parts = cut_text(text, self.directives.cut)
        return split_surrogates(parts) if self.directives.surrogates else parts

    def fixed_text(self) -> str | None:
        """The text that is known beforehand; None when the answer is made of tokens."""
        if self.directives.echo:
            seen = [{"role": turn.role, "content": turn.content} for turn in self.question.turns]
            return json.dumps(seen, ensure_ascii=False, separators=(",", ":"))
        if self.directives.text is not None:
            return self.directives.text
        results = self.question.tool_results
        if results and self.directives.tokens is None and not self.directives.stamp:
            return f"The result is {results[-1]}."
        return None

    def numbered_drafts(self) -> Iterator[str]:
        """Tokens that tell by their content where they belong; stamps are added on leaving."""
        count = DEFAULT_TOKENS if self.directives.tokens is None else self.directives.tokens
        if self.directives.stamp:
            return map(str, range(count))
        return (f"w{self.number}.{index} " for index in range(count))


def cut_text(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def split_surrogates(parts: Iterator[str]) -> Iterator[str]:
    """Cut once more within each character that JSON escapes as two surrogate halves."""
    for part in parts:
        pending = ""
        for character in part:
            if ord(character) <= 0xFFFF:
                pending += character
                continue
            offset = ord(character) - 0x10000
            yield pending + chr(0xD800 + (offset >> 10))
            pending = chr(0xDC00 + (offset & 0x3FF))
        if pending:
            yield pending
