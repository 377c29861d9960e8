"""What a model call used, in disjoint classes of tokens that are each priced by themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

PROMPT_CLASSES = (
    "input",
    "input_audio",
    "cache_read",
    "cache_read_audio",
    "cache_write_5m",
    "cache_write_1h",
)
COMPLETION_CLASSES = ("output", "reasoning", "output_audio")
TOKEN_CLASSES = PROMPT_CLASSES + COMPLETION_CLASSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens by class; no token stands in two classes, so that sums never count one twice."""

    input: int = 0
    input_audio: int = 0
    cache_read: int = 0
    cache_read_audio: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    output_audio: int = 0

    @property
    def prompt_tokens(self) -> int:
        plain = self.input + self.input_audio
        cached = self.cache_read + self.cache_read_audio
        return plain + cached + self.cache_write_5m + self.cache_write_1h

    @property
    def completion_tokens(self) -> int:
        return self.output + self.reasoning + self.output_audio

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def by_class(self) -> dict[str, int]:
        """The classes that occurred, in their fixed order."""
        return {f.name: n for f in fields(self) if (n := getattr(self, f.name))}

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in TOKEN_CLASSES})


def fold(snapshot: dict[str, Any], newer: Mapping[str, Any]) -> dict[str, Any]:
    """Take the newer of two cumulative usage objects, field by field, where it says anything."""
    folded = dict(snapshot)
    for name, value in newer.items():
        if isinstance(value, Mapping):
            folded[name] = fold(folded.get(name) or {}, value)
        elif value is not None:
            folded[name] = value
    return folded


def from_openai(raw: Mapping[str, Any]) -> Usage:
    """Split an OpenAI `usage` object into classes.

    There cached and audio tokens are part of the prompt, reasoning part of the completion:
    https://platform.openai.com/docs/api-reference/chat/object (read 2026-11).
    """
    prompt = raw.get("prompt_tokens_details") or {}
    completion = raw.get("completion_tokens_details") or {}
    total_prompt = _count(raw, "prompt_tokens")
    total_completion = _count(raw, "completion_tokens")
    cached = min(_count(prompt, "cached_tokens"), total_prompt)
    input_audio = min(_count(prompt, "audio_tokens"), total_prompt - cached)
    reasoning = min(_count(completion, "reasoning_tokens"), total_completion)
    output_audio = min(_count(completion, "audio_tokens"), total_completion - reasoning)
    return Usage(
        input=total_prompt - cached - input_audio,
        input_audio=input_audio,
        cache_read=cached,
        output=total_completion - reasoning - output_audio,
        reasoning=reasoning,
        output_audio=output_audio,
    )


def _count(raw: Mapping[str, Any], name: str) -> int:
    value = raw.get(name)
    return max(int(value), 0) if isinstance(value, int | float) else 0
