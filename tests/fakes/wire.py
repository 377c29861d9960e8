"""The bytes of OpenAI's chat completions: chunks as server-sent events, bodies and errors."""

import json
import time
from typing import Any

Json = dict[str, Any]

FINGERPRINT = "fp_fake00c0de"
ROLE_DELTA = b'{"role":"assistant","content":"","refusal":null}'
DONE_EVENT = b"data: [DONE]\n\n"
COMMENT_EVENT = b": still here\n\n"
#: Providers repeat the key in what they say of an error; it must not be seen anywhere.
CANARY = "sk-repeated-by-the-provider"
CHUNK_FAULT = {
    "message": f"The server had an error while processing your request. (Key: {CANARY})",
    "type": "server_error",
    "param": None,
    "code": None,
}
STATUS_ERRORS: dict[int, tuple[str, str, str | None]] = {
    400: ("The request was refused, as its directive asked.", "invalid_request_error", None),
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    404: ("Invalid URL.", "invalid_request_error", None),
    411: ("A Content-Length header is required.", "invalid_request_error", None),
    429: ("Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request.", "server_error", None),
    503: ("The engine is currently overloaded, please try again later.", "server_error", None),
}


def compact(value: object, *, escaped: bool = False) -> bytes:
    """JSON without spaces; non-ASCII characters as they are unless `escaped`."""
    try:
        return json.dumps(value, ensure_ascii=escaped, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        # Half a surrogate pair has no UTF-8; only its escape can be sent.
        return json.dumps(value, separators=(",", ":")).encode()


def text_delta(text: str, *, escaped: bool = False) -> bytes:
    return b'{"content":%b}' % compact(text, escaped=escaped)


def tool_opening_delta(index: int, call_id: str, name: str) -> bytes:
    function = {"name": name, "arguments": ""}
    call = {"index": index, "id": call_id, "type": "function", "function": function}
    return compact({"tool_calls": [call]})


def tool_argument_delta(index: int, arguments: str) -> bytes:
    return compact({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})


def identity(number: int, model: str, kind: str) -> Json:
    """The fields that all chunks of one answer, and its whole body, have in common."""
    return {
        "id": f"chatcmpl-fake-{number}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
    }


class ChunkEncoder:
    """Makes the events of one answer from bytes that are encoded once per answer."""

    def __init__(self, number: int, model: str, *, usage_field: bool) -> None:
        shared = compact(identity(number, model, "chat.completion.chunk"))
        self.opening = b"data: " + shared[:-1]
        self.before_delta = self.opening + b',"choices":[{"index":0,"delta":'
        self.empty_usage = b',"usage":null' if usage_field else b""
        self.plain_ending = self.ending_of(b"null", self.empty_usage)

    @staticmethod
    def ending_of(finish: bytes, usage: bytes) -> bytes:
        return b',"logprobs":null,"finish_reason":%b}]%b}\n\n' % (finish, usage)

    def delta(self, delta: bytes, usage: Json | None = None) -> bytes:
        """One token; `usage` only where a provider reports it continuously."""
        if usage is None:
            return self.before_delta + delta + self.plain_ending
        return self.before_delta + delta + self.ending_of(b"null", self.usage_field(usage))

    def finish(self, reason: str, usage: Json | None = None) -> bytes:
        field = self.empty_usage if usage is None else self.usage_field(usage)
        return self.before_delta + b"{}" + self.ending_of(compact(reason), field)

    def usage(self, usage: Json) -> bytes:
        """The last chunk, which has no choices."""
        return self.opening + b',"choices":[]' + self.usage_field(usage) + b"}\n\n"

    @staticmethod
    def usage_field(usage: Json) -> bytes:
        return b',"usage":' + compact(usage)

    def malformed(self) -> bytes:
        """A data line that breaks off within its JSON."""
        return self.before_delta + b'{"content":"bro\n\n'


def error_event() -> bytes:
    return b"data: %b\n\n" % compact({"error": CHUNK_FAULT})


def error_body(status: int, message: str | None = None) -> bytes:
    """The body of an HTTP error; `message` instead of the usual words."""
    usual, kind, code = STATUS_ERRORS[status]
    return compact(
        {
            "error": {
                "message": f"{message or usual} (Key: {CANARY})",
                "type": kind,
                "param": None,
                "code": code,
            }
        }
    )


def completion_body(shared: Json, message: Json, finish: str, usage: Json | None) -> Json:
    """The body of an answer that is not streamed."""
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    body = {**shared, "choices": [choice]}
    return body if usage is None else {**body, "usage": usage}


def completion_message(text: str, tools: list[tuple[str, str, str]]) -> Json:
    """The assistant's message; `tools` are triples of id, name and arguments."""
    message: Json = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    if tools:
        message["content"] = None
        message["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, name, arguments in tools
        ]
    return message


def model_list() -> bytes:
    models = [
        {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "fake"}
        for name in ("fake-large", "fake-small")
    ]
    return compact({"object": "list", "data": models})
