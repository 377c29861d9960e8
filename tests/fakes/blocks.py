"""The syntax of a `[[fake ...]]` block: entries with a sign and a value, without their meaning."""

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

OPENING = re.compile(r"\[\[fake(?=[\s\]])")
NAME = re.compile(r"(?P<name>[a-z_][a-z0-9_]*)(?P<sign>[=@]?)")
BARE_VALUE = re.compile(r"[^\s\]]+")
QUOTED_VALUE = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""", re.DOTALL)
JSON_VALUE = json.JSONDecoder(strict=False)


class DirectiveError(ValueError):
    """A directive that is unknown, malformed or contradicts another one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a block as it was written."""

    name: str
    sign: str
    value: Any


def read_block(text: str, position: int) -> tuple[list[Entry], int]:
    """The entries from `position` to the closing brackets, and where the block ends."""
    entries: list[Entry] = []
    while True:
        position += len(text[position:]) - len(text[position:].lstrip())
        if text.startswith("]]", position):
            return entries, position + 2
        match = NAME.match(text, position)
        if match is None:
            raise DirectiveError(f"cannot read the block at {text[position : position + 20]!r}")
        value, position = read_value(text, match.end()) if match["sign"] else (None, match.end())
        entries.append(Entry(match["name"], match["sign"], value))


def read_value(text: str, position: int) -> tuple[Any, int]:
    """One value and the position after it."""
    if text[position : position + 1] in ("{", "[", '"'):
        try:
            return JSON_VALUE.raw_decode(text, position)
        except json.JSONDecodeError as error:
            if text[position] != '"':
                raise DirectiveError(f"malformed JSON value: {error}") from error
    if quoted := QUOTED_VALUE.match(text, position):
        return read_python_string(quoted[0]), quoted.end()
    if bare := BARE_VALUE.match(text, position):
        return bare[0], bare.end()
    raise DirectiveError(f"a value is missing at {text[position : position + 20]!r}")


def read_python_string(literal: str) -> str:
    try:
        return str(ast.literal_eval(literal))
    except (SyntaxError, ValueError) as error:
        raise DirectiveError(f"malformed string: {literal}") from error
