"""What one call has used: the provider's own count, and an estimate of what it has not counted."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from costs import tokens, wire_usage
from costs.models import ModelCall
from costs.usage import Usage
from costs.wire_usage import Counted, WireFormat

Status = ModelCall.Status
Source = ModelCall.UsageSource


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts a call while it runs; `prompt_tokens` is the estimate of what was sent."""

    prompt_tokens: int
    #: The provider's usage objects, folded into one.
    raw: dict[str, Any] = field(default_factory=dict)
    pieces: int = 0
    #: Whether anything has come; the provider has read the prompt then.
    is_answered: bool = False
    _format: WireFormat = wire_usage.OPENAI
    _milli_tokens: int = 0
    #: Whether something was said that the provider has not counted yet.
    _is_behind: bool = False

    @property
    def has_output(self) -> bool:
        return self.pieces > 0

    @property
    def output_tokens(self) -> int:
        """The estimate so far. Most providers send a token a piece, a few send more at once."""
        return max(self.pieces, -(-self._milli_tokens // 1000))

    @property
    def estimate(self) -> Usage:
        return Usage(input=self.prompt_tokens, output=self.output_tokens)

    def add_piece(self, text: str) -> None:
        """Count a piece of an answer; one without text says only that there is an answer."""
        self.is_answered = True
        if not text:
            return
        self.pieces += 1
        self._milli_tokens += tokens.milli_tokens(text)
        self._is_behind = True

    def take(self, raw: Mapping[str, Any], usage_format: WireFormat) -> None:
        """Take the provider's own count; it is cumulative, so counts are folded and not added."""
        self.is_answered = True
        self._format = usage_format
        self.raw = usage_format.fold(self.raw, raw)
        self._is_behind = False

    def best(self) -> Usage:
        """What the provider has said of the prompt, and an estimate of what it has not counted."""
        return self._best(self._format.split(self.raw))

    def final(
        self, status: ModelCall.Status, *, is_finished: bool
    ) -> tuple[Usage | None, Source, tuple[str, ...]]:
        """What a call that ended so is charged for; None when it failed without any answer.

        A provider that has not said that the answer `is_finished` may have sent more than it has
        been heard to count.
        """
        counted = self._format.split(self.raw)
        is_whole = status == Status.COMPLETE or (is_finished and not self._is_behind)
        agrees = bool(counted.usage.completion_tokens) or not self.has_output
        if counted.usage.total_tokens and is_whole and agrees:
            return counted.usage, Source.PROVIDER, counted.flags
        if status == Status.FAILED and not self.is_answered:
            return None, Source.NONE, ()
        flags = counted.flags
        if self.raw and is_whole and not agrees:
            flags += ("zero_usage",)
        if status in (Status.FAILED, Status.TRUNCATED):
            flags += ("billing_uncertain",)
        return self._best(counted), Source.ESTIMATED, flags

    def _best(self, counted: Counted) -> Usage:
        known = counted.usage
        if not known.prompt_tokens:
            return self.estimate
        beside = known.reasoning + known.output_audio
        return replace(known, output=max(known.output, self.output_tokens - beside))
