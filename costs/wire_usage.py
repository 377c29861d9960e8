"""The usage objects of providers: how those of one call fold into one, and how that is split.

All three providers send cumulative counts, some of them several times in a stream, so they are
folded and never added. Folded is what is kept with the call as evidence, with two things that
stand elsewhere on the wire: `service_tier`, and `web_search_requests`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from costs.usage import Usage

Raw = Mapping[str, Any]
#: More than any request has; what is beyond is nonsense that no column holds.
MOST_TOKENS = 10**12
Flags = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a provider counted; the flags say where its numbers do not agree.

    `inconsistent_usage`: a part is larger than its whole, and was cut to it. `assumed_split`: the
    total is sure, but not how it divides. `total_mismatch`: the total is not the sum of the parts.
    `other_models`: a part was used by models that are not the one that was asked.
    """

    usage: Usage
    flags: Flags = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WireFormat:
    """How one family of providers counts."""

    fold: Callable[[dict[str, Any], Raw], dict[str, Any]]
    split: Callable[[Raw], Counted]


def fold_newest(snapshot: dict[str, Any], newer: Raw) -> dict[str, Any]:
    """Take the newer of two cumulative usage objects, field by field, where it says anything."""
    return _fold(snapshot, newer, lambda old, new: new)


def fold_highest(snapshot: dict[str, Any], newer: Raw) -> dict[str, Any]:
    """Take the higher count, field by field; gateways send zeros first or last."""
    return _fold(snapshot, newer, _higher)


def _fold(
    snapshot: dict[str, Any], newer: Raw, choose: Callable[[Any, Any], Any]
) -> dict[str, Any]:
    folded = dict(snapshot)
    for name, value in newer.items():
        old = folded.get(name)
        if isinstance(value, Mapping):
            folded[name] = _fold(old if isinstance(old, dict) else {}, value, choose)
        elif value is not None:
            folded[name] = value if old is None else choose(old, value)
    return folded


def _higher(old: Any, new: Any) -> Any:
    both = isinstance(old, int | float) and isinstance(new, int | float)
    return max(old, new) if both else new


def from_openai(raw: Raw) -> Counted:
    """Split a `usage` object of chat completions or of the Responses API.

    Cached, written and audio tokens are part of the prompt, reasoning is part of the completion:
    https://platform.openai.com/docs/api-reference/chat/object (read 2026-11). Some compatible
    servers add reasoning to the total only, and DeepSeek names its cached tokens differently.
    """
    whole = _Whole(_count(raw, "prompt_tokens") or _count(raw, "input_tokens"))
    details = _details(raw, "prompt_tokens_details", "input_tokens_details")
    cached = whole.take(_count(details, "cached_tokens") or _count(raw, "prompt_cache_hit_tokens"))
    written = whole.take(_count(details, "cache_write_tokens"))
    input_audio, cached_audio = whole.take_audio(
        _count(details, "audio_tokens"),
        cached=cached,
        cached_audio=_count(_details(details, "cached_tokens_details"), "audio_tokens"),
    )
    said, more = _openai_completion(raw)
    used = Usage(
        input=whole.left,
        input_audio=input_audio,
        cache_read=cached - cached_audio,
        cache_read_audio=cached_audio,
        # There is one rate for writing, and no class of its own for how long it is kept.
        cache_write_5m=written,
        output=said.output,
        reasoning=said.reasoning,
        output_audio=said.output_audio,
        web_search=_count(raw, "web_search_requests"),
    )
    return Counted(usage=used, flags=whole.flags + more + _mismatch(raw, "total_tokens", used))


def _openai_completion(raw: Raw) -> tuple[Usage, Flags]:
    prompt = _count(raw, "prompt_tokens") or _count(raw, "input_tokens")
    completion = _count(raw, "completion_tokens") or _count(raw, "output_tokens")
    details = _details(raw, "completion_tokens_details", "output_tokens_details")
    named = _count(details, "reasoning_tokens")
    # The total of an error may be anything; with a prompt and a completion it is a sum.
    beside = _count(raw, "total_tokens") - prompt - completion if prompt and completion else 0
    if beside > 0 and named in (0, beside):
        audio = min(_count(details, "audio_tokens"), completion)
        usage = Usage(output=completion - audio, reasoning=beside, output_audio=audio)
        return usage, () if named else ("assumed_split",)
    whole = _Whole(completion)
    reasoning, audio = whole.take(named), whole.take(_count(details, "audio_tokens"))
    return Usage(output=whole.left, reasoning=reasoning, output_audio=audio), whole.flags


def from_anthropic(raw: Raw) -> Counted:
    """Split a `usage` object of the Messages API.

    What is read from and written to the cache stands beside `input_tokens`, not in it; thinking is
    part of the output: https://platform.claude.com/docs/en/api/messages (read 2026-11). What a
    compaction or an advisor used is in `iterations` alone.
    """
    usage, flags = _anthropic_part(raw)
    iterations = raw.get("iterations")
    for part in iterations if isinstance(iterations, list) else []:
        if isinstance(part, Mapping) and part.get("type") in ("compaction", "advisor_message"):
            more, wrong = _anthropic_part(part)
            usage += more
            flags += wrong + (("other_models",) if part.get("model") else ())
    return Counted(usage=usage, flags=tuple(dict.fromkeys(flags)))


def _anthropic_part(raw: Raw) -> tuple[Usage, Flags]:
    kept = _details(raw, "cache_creation")
    written = _count(raw, "cache_creation_input_tokens")
    long = _count(kept, "ephemeral_1h_input_tokens")
    short = _count(kept, "ephemeral_5m_input_tokens")
    unsplit = max(written - long - short, 0)
    whole = _Whole(_count(raw, "output_tokens"))
    reasoning = whole.take(_count(_details(raw, "output_tokens_details"), "thinking_tokens"))
    used = Usage(
        input=_count(raw, "input_tokens"),
        cache_read=_count(raw, "cache_read_input_tokens"),
        cache_write_5m=short + unsplit,
        cache_write_1h=long,
        output=whole.left,
        reasoning=reasoning,
        web_search=_count(_details(raw, "server_tool_use"), "web_search_requests"),
    )
    # Without any breakdown it is the short kind: the long one has to be asked for.
    return used, whole.flags + (("assumed_split",) if kept and unsplit else ())


def from_gemini(raw: Raw) -> Counted:
    """Split a `usageMetadata` object.

    Cached tokens are part of the prompt; thoughts, and prompts of the provider's own tools, stand
    beside: https://ai.google.dev/api/generate-content#UsageMetadata (read 2026-11).
    """
    prompt = _Whole(_count(raw, "promptTokenCount"))
    cached = prompt.take(_count(raw, "cachedContentTokenCount"))
    input_audio, cached_audio = prompt.take_audio(
        _spoken(raw, "promptTokensDetails"),
        cached=cached,
        cached_audio=_spoken(raw, "cacheTokensDetails"),
    )
    said = _Whole(_count(raw, "candidatesTokenCount"))
    output_audio = said.take(_spoken(raw, "candidatesTokensDetails"))
    used = Usage(
        input=prompt.left + _count(raw, "toolUsePromptTokenCount"),
        input_audio=input_audio,
        cache_read=cached - cached_audio,
        cache_read_audio=cached_audio,
        output=said.left,
        reasoning=_count(raw, "thoughtsTokenCount"),
        output_audio=output_audio,
        web_search=_count(raw, "web_search_requests"),
    )
    flags = prompt.flags + said.flags + _mismatch(raw, "totalTokenCount", used)
    return Counted(usage=used, flags=flags)


def service_tier(raw: Raw) -> str:
    """How the provider says that it served the call, in its own words; "" when it says nothing."""
    if raw.get("speed") == "fast":
        return "fast"
    return str(raw.get("service_tier") or raw.get("trafficType") or "")


def _spoken(raw: Raw, name: str) -> int:
    parts = raw.get(name)
    found = [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    return sum(_count(part, "tokenCount") for part in found if part.get("modality") == "AUDIO")


class _Whole:
    """A count that its parts are taken from; what is left is the plain rest."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.flags: Flags = ()

    def take(self, part: int) -> int:
        """Take a part, or as much of it as there is."""
        if part > self.left:
            self.flags = ("inconsistent_usage",)
        taken = min(max(part, 0), self.left)
        self.left -= taken
        return taken

    def take_audio(self, audio: int, *, cached: int, cached_audio: int) -> tuple[int, int]:
        """Divide the audio of a prompt into what is new and what of it came from the cache.

        `cached` is taken already. How much of it is audio is seldom said; as little as can be.
        """
        if not cached_audio and 0 < audio - self.left <= cached:
            cached_audio = audio - self.left
            self.flags = ("assumed_split",)
        cached_audio = min(cached_audio, cached)
        return self.take(audio - cached_audio), cached_audio


def _mismatch(raw: Raw, name: str, used: Usage) -> Flags:
    return ("total_mismatch",) if raw.get(name) not in (None, used.total_tokens) else ()


def _details(raw: Raw, *names: str) -> Raw:
    found = (raw.get(name) for name in names)
    return next((value for value in found if isinstance(value, Mapping)), {})


def _count(raw: Raw, name: str) -> int:
    value = raw.get(name)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return 0
    return min(max(int(value), 0), MOST_TOKENS)


def storable(value: Any) -> Any:
    """What a provider sent as every database takes it: without NUL and without infinity."""
    if isinstance(value, Mapping):
        return {storable(name): storable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [storable(inner) for inner in value]
    if isinstance(value, str):
        return value.replace("\0", "")
    return None if isinstance(value, float) and not math.isfinite(value) else value


OPENAI = WireFormat(fold=fold_newest, split=from_openai)
ANTHROPIC = WireFormat(fold=fold_highest, split=from_anthropic)
GEMINI = WireFormat(fold=fold_newest, split=from_gemini)
