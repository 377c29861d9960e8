"""What the provider answers: the pieces of an answer, its finish reason and its usage."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.fakes.directives import Directives, ToolRequest
from tests.fakes.wire import text_delta, tool_argument_delta, tool_opening_delta

Json = dict[str, Any]
DEFAULT_TOKENS = 20


def content_text(message: Json) -> str:
    """The text of a message, whose content is a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def last_user_text(messages: list[Json]) -> str:
    return next((content_text(item) for item in reversed(messages) if is_user(item)), "")


def is_user(message: Json) -> bool:
    return message.get("role") == "user"


def tool_results(messages: list[Json]) -> list[str]:
    """The contents of the tool messages that follow the last user message."""
    results: list[str] = []
    for message in messages:
        if is_user(message):
            results = []
        elif message.get("role") == "tool":
            results.append(content_text(message))
    return results


@dataclass(frozen=True, slots=True)
class Answer:
    """One planned answer; a token is drafted ahead and turned into a piece when it is sent."""

    number: int
    directives: Directives
    messages: list[Json]

    @property
    def tools(self) -> tuple[ToolRequest, ...]:
        """The tool calls that this answer makes; none once their results are there."""
        if self.directives.tool_forever or not tool_results(self.messages):
            return self.directives.tools
        return ()

    @property
    def finish(self) -> str:
        return "tool_calls" if self.tools else self.directives.finish

    def drafts(self) -> Iterator[str | bytes]:
        """The tokens in order: texts, or the deltas of tool calls."""
        return self.tool_drafts() if self.tools else self.text_drafts()

    def piece(self, draft: str | bytes) -> tuple[str, bytes]:
        """A token as it leaves now: its text and the JSON of its delta."""
        if isinstance(draft, bytes):
            return "", draft
        text = f"{draft}:{time.time_ns()} " if self.directives.stamp else draft
        return text, text_delta(text, escaped=self.directives.surrogates)

    def tool_drafts(self) -> Iterator[bytes]:
        for index, (call_id, tool) in enumerate(self.numbered_tools()):
            yield tool_opening_delta(index, call_id, tool.name)
            for part in cut_text(tool.arguments, self.directives.cut):
                yield tool_argument_delta(index, part)

    def numbered_tools(self) -> list[tuple[str, ToolRequest]]:
        """The tool calls with ids that no other answer uses."""
        return [(f"call_fake_{self.number}_{i}", tool) for i, tool in enumerate(self.tools)]

    def text_drafts(self) -> Iterator[str]:
        text = self.fixed_text()
        if text is None:
            return self.numbered_drafts()
        parts = cut_text(text, self.directives.cut)
        return split_surrogates(parts) if self.directives.surrogates else parts

    def fixed_text(self) -> str | None:
        """The text that is known beforehand; None when the answer is made of tokens."""
        if self.directives.echo:
            seen = [
                {name: item.get(name) for name in ("role", "content")} for item in self.messages
            ]
            return json.dumps(seen, ensure_ascii=False, separators=(",", ":"))
        if self.directives.text is not None:
            return self.directives.text
        results = tool_results(self.messages)
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


class UsageReport:
    """The usage that an answer reports, and whether it reports any."""

    def __init__(self, request: Json, directives: Directives) -> None:
        self.directives = directives
        self.prompt_tokens = sum(len(content_text(item).split()) for item in request["messages"])
        options = request.get("stream_options") or {}
        asked = bool(options.get("include_usage")) or not request.get("stream")
        self.wanted = asked and not directives.nousage
        self.continuous = directives.continuous and not directives.nousage

    def after(self, tokens: int) -> Json:
        """The usage object once that many tokens were sent."""
        if self.directives.usage is not None:
            return self.directives.usage
        if self.directives.zerousage:
            return usage_object(0, 0, 0, 0)
        reasoning = self.directives.reasoning
        return usage_object(
            self.prompt_tokens, tokens + reasoning, self.directives.cached, reasoning
        )


def usage_object(prompt: int, completion: int, cached: int, reasoning: int) -> Json:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
