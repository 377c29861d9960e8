"""The `[[fake ...]]` block of a user message: what it may say and how it is read.

A block is a list of `name=value`, `name@count` and bare `name` entries. A value is a bare word,
a JSON value or a quoted Python string. Whatever is not understood raises `DirectiveError`.

Tokens of the prompt are its words. `cached`, `cache_write_5m`, `cache_write_1h` and `audio` say
how many of them were of that kind; `reasoning` and `web_searches` come on top. All APIs follow
the same block and spell it in their own ways.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.fakes.blocks import OPENING, DirectiveError, Entry, read_block

STATUSES = (400, 401, 429, 500, 503, 529)
#: `blocked` refuses the prompt; there are no tokens then.
FINISH_REASONS = ("stop", "length", "content_filter", "blocked")


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong: `kind` is `status`, `hang` or the name of a fault within the stream.

    `number` is the HTTP status, or how many tokens are sent before the fault.
    """

    kind: str
    number: int = 0

    @property
    def label(self) -> str:
        """The fault as the block spells it, for the records."""
        if self.kind == "hang":
            return "hang"
        return f"fault={self.number}" if self.kind == "status" else f"{self.kind}@{self.number}"

    @property
    def within_stream(self) -> bool:
        return self.kind not in ("status", "hang")


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """One tool call that the answer asks for; `arguments` is the JSON text as it is sent."""

    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True)
class Directives:
    """Everything a block can ask for, with the values that hold when it is silent."""

    block: str = ""
    tokens: int | None = None
    text: str | None = None
    echo: bool = False
    stamp: bool = False
    cut: int = 3
    piece_bytes: int = 0
    surrogates: bool = False
    gap_ms: float = 0.0
    ttft_ms: float = 0.0
    fault: Fault | None = None
    fault_times: int | None = None
    usage: dict[str, Any] | None = None
    nousage: bool = False
    zerousage: bool = False
    continuous: bool = False
    cached: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    audio: int = 0
    web_searches: int = 0
    reasoning: int = 0
    finish: str = "stop"
    #: The model and the service tier that it says it served.
    served: str = ""
    tier: str = ""
    tools: tuple[ToolRequest, ...] = ()
    tool_forever: bool = False


def directives_in(text: str) -> Directives:
    """The directives of the last block of a text; the defaults when it has none."""
    found = Directives()
    position = 0
    while opening := OPENING.search(text, position):
        entries, position = read_block(text, opening.end())
        found = collect(entries, text[opening.start() : position])
    return found


def whole_number(entry: Entry, smallest: int = 0) -> int:
    if not re.fullmatch(r"\d+", str(entry.value)) or int(entry.value) < smallest:
        raise DirectiveError(f"{entry.name} needs a whole number of at least {smallest}")
    return int(entry.value)


def milliseconds(entry: Entry) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", str(entry.value)):
        raise DirectiveError(f"{entry.name} needs a number of milliseconds")
    return float(entry.value)


def flag(entry: Entry) -> bool:
    if entry.value not in ("0", "1"):
        raise DirectiveError(f"{entry.name} is either 0 or 1")
    return bool(entry.value == "1")


def plain_text(entry: Entry) -> str:
    if not isinstance(entry.value, str):
        raise DirectiveError(f"{entry.name} needs a string")
    return entry.value


def json_object(entry: Entry) -> dict[str, Any]:
    if not isinstance(entry.value, dict):
        raise DirectiveError(f"{entry.name} needs a JSON object")
    return entry.value


def finish_reason(entry: Entry) -> str:
    if entry.value not in FINISH_REASONS:
        raise DirectiveError(f"finish is one of {', '.join(FINISH_REASONS)}")
    return str(entry.value)


PLAIN_READERS: dict[str, Callable[[Entry], Any]] = {
    "tokens": whole_number,
    "text": plain_text,
    "echo": flag,
    "stamp": flag,
    "surrogates": flag,
    "gap_ms": milliseconds,
    "ttft_ms": milliseconds,
    "fault_times": whole_number,
    "usage": json_object,
    "nousage": flag,
    "zerousage": flag,
    "continuous": flag,
    "cached": whole_number,
    "cache_write_5m": whole_number,
    "cache_write_1h": whole_number,
    "audio": whole_number,
    "web_searches": whole_number,
    "reasoning": whole_number,
    "finish": finish_reason,
    "served": plain_text,
    "tier": plain_text,
    "tool_forever": flag,
}


def apply_cut(found: Directives, entry: Entry) -> Directives:
    unit, colon, count = str(entry.value).partition(":")
    if not colon:
        return replace(found, cut=whole_number(entry, smallest=1))
    if unit != "bytes":
        raise DirectiveError("cut is a number of characters or bytes:K")
    return replace(found, piece_bytes=whole_number(Entry("cut", "=", count), smallest=1))


def apply_fault(found: Directives, entry: Entry) -> Directives:
    if found.fault is not None:
        raise DirectiveError("a block can hold one fault only")
    if entry.sign == "@":
        return replace(found, fault=Fault(entry.name, whole_number(entry)))
    if entry.name == "hang":
        return replace(found, fault=Fault("hang"))
    status = whole_number(entry)
    if status not in STATUSES:
        raise DirectiveError(f"fault is one of {', '.join(map(str, STATUSES))}")
    return replace(found, fault=Fault("status", status))


def apply_tool(found: Directives, entry: Entry) -> Directives:
    return replace(found, tools=(*found.tools, ToolRequest(plain_text(entry))))


def apply_arguments(found: Directives, entry: Entry) -> Directives:
    """A JSON object, or a string that is sent as it is, so that it may also be malformed."""
    if not found.tools:
        raise DirectiveError("args must follow a tool")
    arguments = entry.value
    if not isinstance(arguments, str):
        arguments = json.dumps(json_object(entry), ensure_ascii=False, separators=(",", ":"))
    return replace(found, tools=(*found.tools[:-1], replace(found.tools[-1], arguments=arguments)))


SPECIAL_READERS: dict[tuple[str, str], Callable[[Directives, Entry], Directives]] = {
    ("cut", "="): apply_cut,
    ("fault", "="): apply_fault,
    ("hang", ""): apply_fault,
    ("tool", "="): apply_tool,
    ("args", "="): apply_arguments,
    **{(kind, "@"): apply_fault for kind in ("rst", "cut", "eof", "stall", "drip", "bad", "err")},
}


def collect(entries: list[Entry], block: str) -> Directives:
    """The directives that the entries of one block spell out together."""
    found = Directives(block=block)
    for entry in entries:
        special = SPECIAL_READERS.get((entry.name, entry.sign))
        if special is not None:
            found = special(found, entry)
        elif entry.name in PLAIN_READERS and entry.sign == "=":
            found = replace(found, **{entry.name: PLAIN_READERS[entry.name](entry)})
        else:
            raise DirectiveError(f"unknown directive: {entry.name}{entry.sign}")
    check(found)
    return found


def check(found: Directives) -> None:
    """Refuse what cannot hold together, rather than ignoring a half of it."""
    if (found.tokens is not None) + (found.text is not None) + found.echo > 1:
        raise DirectiveError("only one of tokens, text and echo can make the answer")
    if found.stamp and (found.text is not None or found.echo):
        raise DirectiveError("stamp makes tokens; it does not go with text or echo")
    if found.tool_forever and not found.tools:
        raise DirectiveError("tool_forever needs a tool")
    if found.fault_times is not None and found.fault is None:
        raise DirectiveError("fault_times needs a fault")
