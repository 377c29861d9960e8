"""What a model call used, in disjoint classes of tokens that are each priced by themselves."""

from dataclasses import dataclass, fields

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
#: What is billed by the piece beside the tokens; a quantity of these is a number of requests.
FEE_CLASSES = ("web_search",)
CLASSES = TOKEN_CLASSES + FEE_CLASSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens by class, and fees; no token stands in two classes, so no sum counts one twice."""

    input: int = 0
    input_audio: int = 0
    cache_read: int = 0
    cache_read_audio: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    output_audio: int = 0
    web_search: int = 0

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
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in CLASSES})
