"""OpenAI's chat completions: chunks as server-sent events, bodies and errors."""

import time
from typing import Any

from tests.fakes.answers import Answer, Piece, ToolArguments, ToolOpening
from tests.fakes.api import RefusedRequestError
from tests.fakes.connection import HttpRequest
from tests.fakes.conversation import Question, Turn
from tests.fakes.usage import Counts, UsageReport
from tests.fakes.wire import COMMENT_EVENT, compact, error_message

Json = dict[str, Any]

FINGERPRINT = "fp_fake00c0de"
ROLE_DELTA = b'{"role":"assistant","content":"","refusal":null}'
DONE_EVENT = b"data: [DONE]\n\n"
#: Type and code of an error by its status.
ERROR_KINDS: dict[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", None),
    411: ("invalid_request_error", None),
    429: ("requests", "rate_limit_exceeded"),
}


def error_body(status: int, message: str | None = None) -> bytes:
    """The body of an HTTP error."""
    kind, code = ERROR_KINDS.get(status, ("server_error", None))
    error = {"message": error_message(status, message), "type": kind, "param": None, "code": code}
    return compact({"error": error})


def response_headers(number: int, status: int) -> dict[str, str]:
    retry = {"Retry-After": "1"} if status == 429 else {}
    return {"openai-version": "2020-10-01", "x-request-id": f"req_fake_{number}", **retry}


def text_delta(text: str, *, escaped: bool = False) -> bytes:
    return b'{"content":%b}' % compact(text, escaped=escaped)


def tool_opening_delta(opening: ToolOpening) -> bytes:
    function = {"name": opening.tool.name, "arguments": ""}
    call_id = f"call_{opening.key}"
    call = {"index": opening.index, "id": call_id, "type": "function", "function": function}
    return compact({"tool_calls": [call]})


def tool_argument_delta(arguments: ToolArguments) -> bytes:
    function = {"arguments": arguments.part}
    return compact({"tool_calls": [{"index": arguments.index, "function": function}]})


def identity(answer: Answer, kind: str) -> Json:
    """The fields that all chunks of one answer, and its whole body, have in common."""
    return {
        "id": f"chatcmpl-fake-{answer.number}",
        "object": kind,
        "created": int(time.time()),
        "model": answer.directives.served or answer.question.model,
        "service_tier": answer.directives.tier or "default",
        "system_fingerprint": FINGERPRINT,
    }


def finish_reason(answer: Answer) -> str:
    return "content_filter" if answer.finish == "blocked" else answer.finish


class ChunkWriter:
    """Makes the events of one answer from bytes that are encoded once per answer."""

    def __init__(self, answer: Answer, usage: UsageReport) -> None:
        self.answer = answer
        self.usage = usage
        self.usage_wanted = answer.question.usage_wanted and not answer.directives.nousage
        shared = compact(identity(answer, "chat.completion.chunk"))
        self.before_usage = b"data: " + shared[:-1]
        self.before_delta = self.before_usage + b',"choices":[{"index":0,"delta":'
        self.empty_usage = b',"usage":null' if self.usage_wanted else b""
        self.plain_ending = self.ending_of(b"null", self.empty_usage)

    @staticmethod
    def ending_of(finish: bytes, usage: bytes) -> bytes:
        return b',"logprobs":null,"finish_reason":%b}]%b}\n\n' % (finish, usage)

    def running_usage(self) -> bytes:
        """The usage so far, where it goes with every chunk."""
        usage = self.usage.tell() if self.answer.directives.continuous else None
        return self.empty_usage if usage is None else b',"usage":' + compact(usage)

    def delta(self, delta: bytes) -> bytes:
        if not self.answer.directives.continuous:
            return self.before_delta + delta + self.plain_ending
        return self.before_delta + delta + self.ending_of(b"null", self.running_usage())

    def opening(self) -> bytes:
        return self.delta(ROLE_DELTA)

    def piece(self, piece: Piece) -> bytes:
        match piece:
            case ToolOpening():
                return self.delta(tool_opening_delta(piece))
            case ToolArguments():
                return self.delta(tool_argument_delta(piece))
        return self.delta(text_delta(piece, escaped=self.answer.directives.surrogates))

    def ending(self) -> bytes:
        """The finish reason and then, if it was asked for, a chunk with the usage alone."""
        reason = compact(finish_reason(self.answer))
        finish = self.before_delta + b"{}" + self.ending_of(reason, self.running_usage())
        usage = self.usage.tell() if self.usage_wanted else None
        if usage is None:
            return finish + DONE_EVENT
        last = self.before_usage + b',"choices":[],"usage":' + compact(usage) + b"}\n\n"
        return finish + last + DONE_EVENT

    def keepalive(self) -> bytes:
        return COMMENT_EVENT

    def malformed(self) -> bytes:
        return self.before_delta + b'{"content":"bro\n\n'

    def failure(self) -> bytes:
        return b"data: %b\n\n" % error_body(500)


class ChatCompletions:
    """`POST /v1/chat/completions`."""

    def read(self, request: HttpRequest, asked: Json) -> Question:
        messages = asked.get("messages")
        if not asked.get("model"):
            raise RefusedRequestError("you must provide a model parameter")
        if not isinstance(messages, list) or not all(isinstance(item, dict) for item in messages):
            raise RefusedRequestError("Missing required parameter: 'messages'.")
        return Question(
            model=str(asked["model"]),
            turns=[Turn(str(item.get("role")), item.get("content")) for item in messages],
            streamed=bool(asked.get("stream")),
            usage_wanted=bool((asked.get("stream_options") or {}).get("include_usage")),
        )

    def writer(self, answer: Answer, usage: UsageReport) -> ChunkWriter:
        return ChunkWriter(answer, usage)

    def body(self, answer: Answer, text: str, usage: UsageReport) -> Json:
        message: Json = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if answer.tools:
            message["content"] = None
            message["tool_calls"] = [
                {
                    "id": f"call_{opening.key}",
                    "type": "function",
                    "function": {"name": opening.tool.name, "arguments": opening.tool.arguments},
                }
                for opening in answer.tool_openings()
            ]
        reason = finish_reason(answer)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        shared = identity(answer, "chat.completion")
        told = usage.tell()
        return {**shared, "choices": [choice], **({} if told is None else {"usage": told})}

    def spell(self, counts: Counts) -> Json:
        written = {"cache_write_tokens": counts.cache_write} if counts.cache_write else {}
        return {
            "prompt_tokens": counts.prompt,
            "completion_tokens": counts.completion,
            "total_tokens": counts.prompt + counts.completion,
            "prompt_tokens_details": {
                "cached_tokens": counts.cache_read,
                "audio_tokens": counts.input_audio,
                **written,
            },
            "completion_tokens_details": {
                "reasoning_tokens": counts.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def understand(self, usage: Json) -> Counts:
        prompt = usage.get("prompt_tokens_details") or {}
        completion = usage.get("completion_tokens_details") or {}
        cached, audio = prompt.get("cached_tokens", 0), prompt.get("audio_tokens", 0)
        written = prompt.get("cache_write_tokens", 0)
        reasoning = completion.get("reasoning_tokens", 0)
        return Counts(
            input=usage.get("prompt_tokens", 0) - cached - audio - written,
            input_audio=audio,
            cache_read=cached,
            cache_write_5m=written,
            output=usage.get("completion_tokens", 0) - reasoning,
            reasoning=reasoning,
        )

    def error(self, status: int, message: str | None = None) -> bytes:
        return error_body(status, message)

    def headers(self, number: int, status: int) -> dict[str, str]:
        return response_headers(number, status)


def model_list() -> bytes:
    models = [
        {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "fake"}
        for name in ("fake-large", "fake-small")
    ]
    return compact({"object": "list", "data": models})
