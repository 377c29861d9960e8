"""The one reader of JSON that comes from outside.

Stricter than the standard library: no NaN, no duplicate keys, no deep nesting, no huge numbers,
and no text that a database could not store.
"""

import json
import re
from typing import Any, NoReturn

MAX_DEPTH = 20
MAX_DIGITS = 100
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class InvalidJson(ValueError):
    """The text is not JSON that this service accepts; the message says why."""


def loads(text: str | bytes) -> Any:
    """Parse `text`. Raises InvalidJson."""
    try:
        decoded = text if isinstance(text, str) else text.decode()
        value = json.loads(
            decoded,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_number,
            object_pairs_hook=_object,
        )
    except RecursionError as error:
        raise InvalidJson("nested too deeply") from error
    except UnicodeDecodeError as error:
        raise InvalidJson("not UTF-8") from error
    except json.JSONDecodeError as error:
        raise InvalidJson(f"{error.msg} at position {error.pos}") from error
    _check(value, depth=0)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidJson(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise InvalidJson(f"a number has more than {MAX_DIGITS} digits")
    return int(digits)


def _number(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise InvalidJson(f"a number has more than {MAX_DIGITS} digits")
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise InvalidJson("a number is out of range")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidJson("an object has the same key twice")
    return found


def _check(value: Any, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidJson(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        if _LONE_SURROGATE.search(value):
            raise InvalidJson("a string has half of a surrogate pair")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth=depth + 1)
            _check(item, depth=depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth=depth + 1)
