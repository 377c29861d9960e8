"""What an answer costs: tokens in disjoint classes, and what of them the provider tells."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from tests.fakes.directives import Directives
from tests.fakes.records import RequestRecord

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Tokens by class, each in one class only, and fees by the number of their causes."""

    input: int = 0
    input_audio: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    web_search: int = 0

    @property
    def cache_write(self) -> int:
        return self.cache_write_5m + self.cache_write_1h

    @property
    def prompt(self) -> int:
        return self.input + self.input_audio + self.cache_read + self.cache_write

    @property
    def completion(self) -> int:
        return self.output + self.reasoning

    def by_class(self) -> dict[str, int]:
        """The classes that occurred."""
        return {name: number for name, number in asdict(self).items() if number}


def planned_counts(directives: Directives, prompt_words: int) -> Counts:
    """What an answer is going to cost without its tokens.

    A word of the prompt is a token. What was cached or heard is part of the prompt, or all of it.
    """
    special = Counts(
        input_audio=directives.audio,
        cache_read=directives.cached,
        cache_write_5m=directives.cache_write_5m,
        cache_write_1h=directives.cache_write_1h,
        reasoning=directives.reasoning,
        web_search=directives.web_searches,
    )
    return replace(special, input=max(prompt_words - special.prompt, 0))


class Spelling(Protocol):
    """How an API writes usage."""

    def spell(self, counts: Counts) -> Json: ...

    def understand(self, usage: Json) -> Counts:
        """What a usage object says; what it leaves out is 0."""


class UsageReport:
    """The usage of one answer, as it grows with the tokens that its record counts."""

    def __init__(
        self,
        record: RequestRecord,
        directives: Directives,
        planned: Counts,
        spelling: Spelling,
    ) -> None:
        self.record = record
        self.directives = directives
        self.planned = planned
        self.spelling = spelling

    def counts(self) -> Counts:
        return replace(self.planned, output=self.record.tokens_sent)

    def tell(self) -> Json | None:
        """The usage so far as the API spells it; None if the directives want it kept back."""
        return self.tell_of(self.counts())

    def tell_prompt(self) -> Json | None:
        """The same before the model began to think."""
        return self.tell_of(replace(self.planned, reasoning=0, web_search=0))

    def tell_of(self, counts: Counts) -> Json | None:
        if self.directives.nousage:
            return None
        told = self.spelling.spell(Counts() if self.directives.zerousage else counts)
        self.record.usage_sent = told if self.directives.usage is None else self.directives.usage
        return self.record.usage_sent

    def billed(self) -> dict[str, int]:
        """What the provider charges by class, told or not; a usage that was given is believed.

        What an API has no word for is charged as what it calls it.
        """
        if self.directives.usage is not None:
            return self.spelling.understand(self.directives.usage).by_class()
        counts = self.spelling.understand(self.spelling.spell(self.counts()))
        return replace(counts, web_search=self.planned.web_search).by_class()
