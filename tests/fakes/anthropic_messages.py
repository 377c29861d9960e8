"""Anthropic's messages: typed events, bodies and errors."""

import json
from typing import Any

from tests.fakes.answers import Answer, Piece, ToolArguments, ToolOpening
from tests.fakes.api import RefusedRequestError
from tests.fakes.connection import HttpRequest
from tests.fakes.conversation import Question, Turn
from tests.fakes.usage import Counts, UsageReport
from tests.fakes.wire import OVERLOADED, compact, error_message, typed_event

Json = dict[str, Any]

SIGNATURE = "RmFrZVNpZ25hdHVyZQ=="
STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
    "blocked": "refusal",
    "tool_calls": "tool_use",
}
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    OVERLOADED: "overloaded_error",
}
#: What a `message_delta` says of usage; the rest stands in `message_start` only.
DELTA_FIELDS = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "output_tokens_details",
    "server_tool_use",
)


def error_object(status: int, message: str | None = None) -> Json:
    error = {"type": ERROR_TYPES[status], "message": error_message(status, message)}
    return {"type": "error", "error": error}


def turns_of(message: Json) -> list[Turn]:
    """A message as turns; results of tools come within messages of the user."""
    role, content = str(message.get("role")), message.get("content")
    if role != "user" or not isinstance(content, list):
        return [Turn(role, content)]
    results = [block for block in content if block.get("type") == "tool_result"]
    others = [block for block in content if block.get("type") != "tool_result"]
    turns = [Turn("tool", block.get("content")) for block in results]
    return [*turns, Turn(role, others)] if others else turns


def message_head(answer: Answer) -> Json:
    return {
        "id": f"msg_fake_{answer.number}",
        "type": "message",
        "role": "assistant",
        "model": answer.question.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def tool_block(opening: ToolOpening, arguments: Any) -> Json:
    key, name = f"toolu_{opening.key}", opening.tool.name
    return {"type": "tool_use", "id": key, "name": name, "input": arguments}


def parsed_arguments(opening: ToolOpening) -> Any:
    try:
        return json.loads(opening.tool.arguments)
    except ValueError as error:
        message = "malformed arguments need a request with stream: true"
        raise RefusedRequestError(message) from error


class MessageWriter:
    """One answer as blocks of content, each of which is opened, filled and stopped."""

    def __init__(self, answer: Answer, usage: UsageReport) -> None:
        self.answer = answer
        self.usage = usage
        self.blocks = 0
        self.is_open = False

    def event(self, kind: str, **fields: Any) -> bytes:
        return typed_event({"type": kind, **fields}, escaped=self.answer.directives.surrogates)

    def opening(self) -> bytes:
        """The start of the message and, where there are any, the thoughts."""
        usage = self.usage.tell_prompt()
        head = message_head(self.answer)
        start = self.event(
            "message_start", message=head if usage is None else {**head, "usage": usage}
        )
        return start + self.thoughts()

    def thoughts(self) -> bytes:
        thoughts = self.answer.thoughts
        if not thoughts:
            return b""
        block = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = [self.delta("thinking_delta", thinking=thought) for thought in thoughts]
        signature = self.delta("signature_delta", signature=SIGNATURE)
        return self.start(block) + b"".join(deltas) + signature + self.stop()

    def start(self, block: Json) -> bytes:
        """A new block after the end of the one before; the first is followed by a ping."""
        before, self.is_open = self.stop(), True
        start = self.event("content_block_start", index=self.blocks, content_block=block)
        return before + start + (b"" if self.blocks else self.keepalive())

    def stop(self) -> bytes:
        if not self.is_open:
            return b""
        self.is_open = False
        self.blocks += 1
        return self.event("content_block_stop", index=self.blocks - 1)

    def delta(self, kind: str, **fields: Any) -> bytes:
        delta = {"type": kind, **fields}
        return self.event("content_block_delta", index=self.blocks, delta=delta)

    def piece(self, piece: Piece) -> bytes:
        match piece:
            case ToolOpening():
                return self.start(tool_block(piece, {}))
            case ToolArguments():
                return self.delta("input_json_delta", partial_json=piece.part)
        before = b"" if self.is_open else self.start({"type": "text", "text": ""})
        return before + self.delta("text_delta", text=piece)

    def ending(self) -> bytes:
        """The stop reason with the usage so far; with `continuous`, told in two parts."""
        reasons = [STOP_REASONS[self.answer.finish]]
        deltas = [None, *reasons] if self.answer.directives.continuous else reasons
        told = b"".join(map(self.message_delta, deltas))
        return self.stop() + told + self.event("message_stop")

    def message_delta(self, reason: str | None) -> bytes:
        delta, usage = {"stop_reason": reason, "stop_sequence": None}, self.usage.tell()
        if usage is None:
            return self.event("message_delta", delta=delta)
        # A usage that was given by a directive is sent as it is.
        given = self.answer.directives.usage is not None
        told = usage if given else {name: usage[name] for name in DELTA_FIELDS if name in usage}
        return self.event("message_delta", delta=delta, usage=told)

    def keepalive(self) -> bytes:
        return self.event("ping")

    def malformed(self) -> bytes:
        return b'event: content_block_delta\ndata: {"type":"content_block_delta","del\n\n'

    def failure(self) -> bytes:
        return typed_event(error_object(OVERLOADED))


class Messages:
    """`POST /v1/messages`."""

    def read(self, request: HttpRequest, asked: Json) -> Question:
        if not {"x-api-key", "authorization"} & set(request.headers):
            raise RefusedRequestError("x-api-key header is required", 401)
        if "anthropic-version" not in request.headers:
            raise RefusedRequestError("anthropic-version: header is required")
        for name, kind in (("model", str), ("max_tokens", int), ("messages", list)):
            if not isinstance(asked.get(name), kind):
                raise RefusedRequestError(f"{name}: Field required")
        system = asked.get("system")
        return Question(
            model=asked["model"],
            turns=[Turn("system", system)] * bool(system)
            + [turn for message in asked["messages"] for turn in turns_of(message)],
            streamed=bool(asked.get("stream")),
            thoughts_wanted=(asked.get("thinking") or {}).get("type", "disabled") != "disabled",
        )

    def writer(self, answer: Answer, usage: UsageReport) -> MessageWriter:
        return MessageWriter(answer, usage)

    def body(self, answer: Answer, text: str, usage: UsageReport) -> Json:
        thoughts, told = "".join(answer.thoughts), usage.tell()
        content: list[Json] = []
        if thoughts:
            content.append({"type": "thinking", "thinking": thoughts, "signature": SIGNATURE})
        if text:
            content.append({"type": "text", "text": text})
        content += [tool_block(item, parsed_arguments(item)) for item in answer.tool_openings()]
        body = {**message_head(answer), "content": content}
        body["stop_reason"] = STOP_REASONS[answer.finish]
        return body if told is None else {**body, "usage": told}

    def spell(self, counts: Counts) -> Json:
        """Cached tokens stand beside `input_tokens`, thoughts are part of `output_tokens`."""
        usage: Json = {
            "input_tokens": counts.input + counts.input_audio,
            "cache_creation_input_tokens": counts.cache_write,
            "cache_read_input_tokens": counts.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": counts.cache_write_5m,
                "ephemeral_1h_input_tokens": counts.cache_write_1h,
            },
            "output_tokens": counts.completion,
            "service_tier": "standard",
            "inference_geo": "global",
        }
        if counts.reasoning:
            usage["output_tokens_details"] = {"thinking_tokens": counts.reasoning}
        if counts.web_search:
            requests = {"web_search_requests": counts.web_search, "web_fetch_requests": 0}
            usage["server_tool_use"] = requests
        return usage

    def understand(self, usage: Json) -> Counts:
        written = usage.get("cache_creation_input_tokens") or 0
        split = usage.get("cache_creation") or {}
        long = split.get("ephemeral_1h_input_tokens", 0)
        reasoning = (usage.get("output_tokens_details") or {}).get("thinking_tokens", 0)
        return Counts(
            input=usage.get("input_tokens") or 0,
            cache_read=usage.get("cache_read_input_tokens") or 0,
            cache_write_5m=split.get("ephemeral_5m_input_tokens", written - long),
            cache_write_1h=long,
            output=(usage.get("output_tokens") or 0) - reasoning,
            reasoning=reasoning,
            web_search=(usage.get("server_tool_use") or {}).get("web_search_requests", 0),
        )

    def error(self, status: int, message: str | None = None) -> bytes:
        return compact(error_object(status, message))

    def headers(self, number: int, status: int) -> dict[str, str]:
        retry = {"retry-after": "1"} if status == 429 else {}
        return {"request-id": f"req_fake_{number}", **retry}
