"""What the bytes of all APIs have in common: JSON, server-sent events and words for errors."""

import json
from http import HTTPStatus
from typing import Any

Json = dict[str, Any]

COMMENT_EVENT = b": still here\n\n"
#: Providers repeat the key in what they say of an error; it must not be seen anywhere.
CANARY = "sk-repeated-by-the-provider"
#: Not a status of HTTP, but Anthropic's for too much load.
OVERLOADED = 529
ERROR_MESSAGES = {
    400: "The request was refused, as its directive asked.",
    401: "Incorrect API key provided.",
    403: "Permission denied.",
    404: "Invalid URL.",
    411: "A Content-Length header is required.",
    429: "Rate limit reached for requests.",
    500: "The server had an error while processing your request.",
    503: "The engine is currently overloaded, please try again later.",
    OVERLOADED: "Overloaded",
}


def compact(value: object, *, escaped: bool = False) -> bytes:
    """JSON without spaces; non-ASCII characters as they are unless `escaped`."""
    try:
        return json.dumps(value, ensure_ascii=escaped, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        # Half a surrogate pair has no UTF-8; only its escape can be sent.
        return json.dumps(value, separators=(",", ":")).encode()


def data_event(value: Json, *, escaped: bool = False) -> bytes:
    return b"data: %b\n\n" % compact(value, escaped=escaped)


def typed_event(value: Json, *, escaped: bool = False) -> bytes:
    """An event that repeats the `type` of its data as its own."""
    return b"event: %b\n%b" % (value["type"].encode(), data_event(value, escaped=escaped))


def error_message(status: int, message: str | None = None) -> str:
    """What a provider says of an error; `message` instead of the usual words."""
    return f"{message or ERROR_MESSAGES[status]} (Key: {CANARY})"


def phrase(status: int) -> str:
    return "Overloaded" if status == OVERLOADED else HTTPStatus(status).phrase
