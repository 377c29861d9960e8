"""OpenAI's responses: numbered events that build items of output."""

from typing import Any

from tests.fakes.answers import Answer, Piece, ToolArguments, ToolOpening
from tests.fakes.api import RefusedRequestError
from tests.fakes.connection import HttpRequest
from tests.fakes.conversation import Question, Turn
from tests.fakes.openai_chat import error_body, response_headers
from tests.fakes.openai_items import (
    call_item,
    final_response,
    message_item,
    reasoning_item,
    response_object,
    search_items,
    summary_part,
    text_part,
)
from tests.fakes.usage import Counts, UsageReport
from tests.fakes.wire import COMMENT_EVENT, error_message, typed_event

Json = dict[str, Any]

ROLES = {"developer": "system"}


def turn_of(item: Json) -> Turn:
    """An item of input as a turn; calls of tools and reasoning say nothing that is counted."""
    if item.get("type") == "function_call_output":
        return Turn("tool", item.get("output"))
    role = str(item.get("role", "assistant"))
    return Turn(ROLES.get(role, role), item.get("content"))


class ResponseWriter:
    """One answer as items that are added, filled part by part and done."""

    def __init__(self, answer: Answer, usage: UsageReport) -> None:
        self.answer = answer
        self.usage = usage
        self.events = 0
        self.output: list[Json] = []
        self.opened: ToolOpening | None = None
        self.is_open = False
        self.filled = ""

    def event(self, kind: str, **fields: Any) -> bytes:
        event = {"type": f"response.{kind}", "sequence_number": self.events, **fields}
        self.events += 1
        return typed_event(event, escaped=self.answer.directives.surrogates)

    def item_event(self, kind: str, item: Json) -> bytes:
        return self.event(kind, output_index=len(self.output), item=item)

    def part_event(self, kind: str, **fields: Any) -> bytes:
        """An event within the text of the message."""
        item_id = f"msg_fake_{self.answer.number}"
        place = {"item_id": item_id, "output_index": len(self.output), "content_index": 0}
        return self.event(kind, **place, **fields)

    def opening(self) -> bytes:
        begun = response_object(self.answer, "in_progress", [])
        head = self.event("created", response=begun) + self.event("in_progress", response=begun)
        reasoning = self.reasoning()
        return head + reasoning + b"".join(map(self.whole_item, search_items(self.answer)))

    def whole_item(self, item: Json) -> bytes:
        added = self.item_event("output_item.added", item)
        return added + self.item_done(item)

    def item_done(self, item: Json) -> bytes:
        done = self.item_event("output_item.done", item)
        self.output.append(item)
        return done

    def reasoning(self) -> bytes:
        """The item of reasoning, which stays empty if no summary was asked for."""
        if not self.answer.directives.reasoning:
            return b""
        added = self.item_event("output_item.added", reasoning_item(self.answer, []))
        thoughts = self.answer.thoughts
        if not thoughts:
            return added + self.item_done(reasoning_item(self.answer, []))
        whole = summary_part("".join(thoughts))
        events = [self.summary_event("part.added", part=summary_part(""))]
        events += [self.summary_event("text.delta", delta=thought) for thought in thoughts]
        events.append(self.summary_event("text.done", text=whole["text"]))
        events.append(self.summary_event("part.done", part=whole))
        return added + b"".join(events) + self.item_done(reasoning_item(self.answer, [whole]))

    def summary_event(self, kind: str, **fields: Any) -> bytes:
        item_id = f"rs_fake_{self.answer.number}"
        place = {"item_id": item_id, "output_index": len(self.output), "summary_index": 0}
        return self.event(f"reasoning_summary_{kind}", **place, **fields)

    def piece(self, piece: Piece) -> bytes:
        match piece:
            case ToolOpening():
                closing, self.opened = self.close(), piece
                return closing + self.item_event(
                    "output_item.added", call_item(piece, "in_progress", "")
                )
            case ToolArguments():
                self.filled += piece.part
                return self.call_event("delta", delta=piece.part)
        begin = b"" if self.is_open else self.open_message()
        self.filled += piece
        return begin + self.part_event("output_text.delta", delta=piece, logprobs=[])

    def call_event(self, kind: str, **fields: Any) -> bytes:
        item_id = f"fc_{self.opened.key}" if self.opened else ""
        place = {"item_id": item_id, "output_index": len(self.output)}
        return self.event(f"function_call_arguments.{kind}", **place, **fields)

    def open_message(self) -> bytes:
        self.is_open = True
        item = message_item(self.answer, "in_progress", [])
        added = self.item_event("output_item.added", item)
        return added + self.part_event("content_part.added", part=text_part(""))

    def close(self) -> bytes:
        """The end of the item that is being filled, if there is one."""
        filled, self.filled = self.filled, ""
        if self.opened is not None:
            done = self.call_event("done", arguments=filled, name=self.opened.tool.name)
            return done + self.item_done(call_item(self.opened, "completed", filled))
        if not self.is_open:
            return b""
        part = text_part(filled)
        done = self.part_event("output_text.done", text=filled, logprobs=[])
        done += self.part_event("content_part.done", part=part)
        return done + self.item_done(message_item(self.answer, "completed", [part]))

    def ending(self) -> bytes:
        closing = self.close()
        response = final_response(self.answer, self.output, self.usage)
        return closing + self.event(response["status"], response=response)

    def keepalive(self) -> bytes:
        return COMMENT_EVENT

    def malformed(self) -> bytes:
        return b'event: response.output_text.delta\ndata: {"type":"response.outp\n\n'

    def failure(self) -> bytes:
        error = {"code": "server_error", "message": error_message(500)}
        response = response_object(self.answer, "failed", self.output, error=error)
        return self.event("failed", response=response)


class Responses:
    """`POST /v1/responses`."""

    def read(self, request: HttpRequest, asked: Json) -> Question:
        given, system = asked.get("input"), asked.get("instructions")
        if not asked.get("model"):
            raise RefusedRequestError("Missing required parameter: 'model'.")
        if not isinstance(given, str | list):
            raise RefusedRequestError("Missing required parameter: 'input'.")
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        return Question(
            model=str(asked["model"]),
            turns=[Turn("system", system)] * bool(system) + [turn_of(item) for item in items],
            streamed=bool(asked.get("stream")),
            thoughts_wanted=bool((asked.get("reasoning") or {}).get("summary")),
        )

    def writer(self, answer: Answer, usage: UsageReport) -> ResponseWriter:
        return ResponseWriter(answer, usage)

    def body(self, answer: Answer, text: str, usage: UsageReport) -> Json:
        summary = [summary_part("".join(answer.thoughts))] if answer.thoughts else []
        output = [reasoning_item(answer, summary)] if answer.directives.reasoning else []
        output += search_items(answer)
        output += [message_item(answer, "completed", [text_part(text)])] if text else []
        output += [
            call_item(opening, "completed", opening.tool.arguments)
            for opening in answer.tool_openings()
        ]
        return final_response(answer, output, usage)

    def spell(self, counts: Counts) -> Json:
        """Cached tokens, read or written, are part of the input, reasoning of the output."""
        return {
            "input_tokens": counts.prompt,
            "input_tokens_details": {
                "cached_tokens": counts.cache_read,
                "cache_write_tokens": counts.cache_write,
            },
            "output_tokens": counts.completion,
            "output_tokens_details": {"reasoning_tokens": counts.reasoning},
            "total_tokens": counts.prompt + counts.completion,
        }

    def understand(self, usage: Json) -> Counts:
        details = usage.get("input_tokens_details") or {}
        cached, written = details.get("cached_tokens", 0), details.get("cache_write_tokens", 0)
        reasoning = (usage.get("output_tokens_details") or {}).get("reasoning_tokens", 0)
        return Counts(
            input=usage.get("input_tokens", 0) - cached - written,
            cache_read=cached,
            cache_write_5m=written,
            output=usage.get("output_tokens", 0) - reasoning,
            reasoning=reasoning,
        )

    def error(self, status: int, message: str | None = None) -> bytes:
        return error_body(status, message)

    def headers(self, number: int, status: int) -> dict[str, str]:
        return response_headers(number, status)
