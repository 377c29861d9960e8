"""Gemini's content generation: parts of candidates as server-sent events, bodies and errors."""

import json
import re
from typing import Any

from tests.fakes.answers import Answer, Piece, ToolArguments, ToolOpening
from tests.fakes.api import RefusedRequestError
from tests.fakes.connection import HttpRequest
from tests.fakes.conversation import Question, Turn
from tests.fakes.usage import Counts, UsageReport
from tests.fakes.wire import OVERLOADED, compact, data_event, error_message

Json = dict[str, Any]

PATH = re.compile(
    r"/v1beta/models/(?P<model>[^/:]+):(?P<method>generateContent|streamGenerateContent)"
)
SIGNATURE = "RmFrZVNpZ25hdHVyZQ=="
ROLES = {"model": "assistant", "user": "user"}
FINISH_REASONS = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "tool_calls": "STOP",
}
ERROR_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    OVERLOADED: "UNAVAILABLE",
}
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}


def error_object(status: int, message: str | None = None) -> Json:
    error: Json = {
        "code": status,
        "message": error_message(status, message),
        "status": ERROR_STATUSES[status],
    }
    return {"error": {**error, "details": [RETRY_INFO]} if status == 429 else error}


def turns_of(content: Json) -> list[Turn]:
    """A content as turns; results of tools come as parts beside text."""
    parts = content.get("parts") or []
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]
    others = [part for part in parts if "functionResponse" not in part]
    turns = [Turn("tool", result_text(result.get("response"))) for result in results]
    role = ROLES.get(content.get("role", "user"), "user")
    return [*turns, Turn(role, others)] if others else turns


def result_text(response: Any) -> str:
    """What a tool returned: the `output` that clients wrap it in, or all there is."""
    output = response.get("output", response) if isinstance(response, dict) else response
    return output if isinstance(output, str) else json.dumps(output)


def call_part(answer: Answer, opening: ToolOpening) -> Json | None:
    """A tool call, which has all of its arguments at once; None if they are malformed."""
    try:
        arguments = json.loads(opening.tool.arguments)
    except ValueError:
        return None
    part: Json = {"functionCall": {"name": opening.tool.name, "args": arguments}}
    return {**part, "thoughtSignature": SIGNATURE} if answer.directives.reasoning else part


def modality(name: str, tokens: int) -> Json:
    return {"modality": name, "tokenCount": tokens}


class ContentWriter:
    """One answer as responses that each have new parts and all of the usage so far."""

    def __init__(self, answer: Answer, usage: UsageReport) -> None:
        self.answer = answer
        self.usage = usage

    def response(self, parts: list[Json], **fields: Any) -> Json:
        candidate = {"content": {"parts": parts, "role": "model"}, "index": 0, **fields}
        return self.around({"candidates": [candidate]})

    def around(self, content: Json) -> Json:
        told = self.usage.tell()
        return {
            **content,
            **({} if told is None else {"usageMetadata": told}),
            "modelVersion": self.answer.question.model,
            "responseId": f"fake-{self.answer.number}",
        }

    def last_response(self, parts: list[Json]) -> Json:
        """The finish reason, or why there is no candidate at all."""
        if self.answer.finish == "blocked":
            return self.around({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}})
        calls = [call_part(self.answer, opening) for opening in self.answer.tool_openings()]
        reason = FINISH_REASONS[self.answer.finish]
        fields: Json = {"finishReason": "MALFORMED_FUNCTION_CALL" if None in calls else reason}
        if searches := self.answer.directives.web_searches:
            queries = [f"query {index}" for index in range(searches)]
            fields["groundingMetadata"] = {"webSearchQueries": queries}
        return self.response(parts, **fields)

    def event(self, response: Json) -> bytes:
        return data_event(response, escaped=self.answer.directives.surrogates)

    def opening(self) -> bytes:
        parts = [{"text": thought, "thought": True} for thought in self.answer.thoughts]
        return b"".join(self.event(self.response([part])) for part in parts)

    def piece(self, piece: Piece) -> bytes:
        match piece:
            case ToolOpening():
                part = call_part(self.answer, piece)
                return b"" if part is None else self.event(self.response([part]))
            case ToolArguments():
                return b""
        return self.event(self.response([{"text": piece}]))

    def ending(self) -> bytes:
        return self.event(self.last_response([{"text": ""}]))

    def keepalive(self) -> bytes:
        return b"\n"

    def malformed(self) -> bytes:
        return b'data: {"candidates":[{"content":{"parts":[{"te\n\n'

    def failure(self) -> bytes:
        """An error within a stream comes as plain JSON, over several lines."""
        return json.dumps(error_object(503), indent=2).encode() + b"\n"


class GenerateContent:
    """`POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`."""

    def read(self, request: HttpRequest, asked: Json) -> Question:
        route = PATH.fullmatch(request.path)
        if route is None:
            raise RefusedRequestError(f"no model can be asked at {request.path}")
        if "x-goog-api-key" not in request.headers:
            message = "Method doesn't allow unregistered callers. Please use API Key."
            raise RefusedRequestError(message, 403)
        contents = asked.get("contents")
        if not isinstance(contents, list) or not contents:
            raise RefusedRequestError("contents is not specified")
        system = (asked.get("systemInstruction") or {}).get("parts") or []
        thinking = (asked.get("generationConfig") or {}).get("thinkingConfig") or {}
        return Question(
            model=route["model"],
            turns=[Turn("system", system)] * bool(system)
            + [turn for content in contents for turn in turns_of(content)],
            streamed=route["method"] == "streamGenerateContent",
            # Google reads either spelling of a field, and clients mix them.
            thoughts_wanted=bool(thinking.get("includeThoughts", thinking.get("include_thoughts"))),
        )

    def writer(self, answer: Answer, usage: UsageReport) -> ContentWriter:
        return ContentWriter(answer, usage)

    def body(self, answer: Answer, text: str, usage: UsageReport) -> Json:
        thoughts = "".join(answer.thoughts)
        parts: list[Json] = [{"text": thoughts, "thought": True}] if thoughts else []
        parts += [{"text": text}] if text else []
        calls = [call_part(answer, opening) for opening in answer.tool_openings()]
        parts += [call for call in calls if call is not None]
        return ContentWriter(answer, usage).last_response(parts)

    def spell(self, counts: Counts) -> Json:
        """Cached and heard tokens are part of the prompt; thoughts stand beside candidates."""
        details = [modality("TEXT", counts.prompt - counts.input_audio)]
        if counts.input_audio:
            details.append(modality("AUDIO", counts.input_audio))
        usage: Json = {
            "promptTokenCount": counts.prompt,
            "candidatesTokenCount": counts.output,
            "totalTokenCount": counts.prompt + counts.completion,
            "promptTokensDetails": details,
        }
        if counts.cache_read:
            usage["cachedContentTokenCount"] = counts.cache_read
            usage["cacheTokensDetails"] = [modality("TEXT", counts.cache_read)]
        if counts.reasoning:
            usage["thoughtsTokenCount"] = counts.reasoning
        return usage

    def understand(self, usage: Json) -> Counts:
        details = usage.get("promptTokensDetails") or []
        audio = sum(item["tokenCount"] for item in details if item["modality"] == "AUDIO")
        cached = usage.get("cachedContentTokenCount", 0)
        return Counts(
            input=usage.get("promptTokenCount", 0) - cached - audio,
            input_audio=audio,
            cache_read=cached,
            output=usage.get("candidatesTokenCount", 0),
            reasoning=usage.get("thoughtsTokenCount", 0),
        )

    def error(self, status: int, message: str | None = None) -> bytes:
        return compact(error_object(status, message))

    def headers(self, number: int, status: int) -> dict[str, str]:
        return {"x-gemini-service-tier": "standard"} if status == 200 else {}
