"""The objects of OpenAI's responses: items of output and the response around them."""

import time
from typing import Any

from tests.fakes.answers import Answer, ToolOpening
from tests.fakes.usage import UsageReport

Json = dict[str, Any]

INCOMPLETE_REASONS = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
    "blocked": "content_filter",
}


def text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def message_item(answer: Answer, status: str, content: list[Json]) -> Json:
    return {
        "id": f"msg_fake_{answer.number}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def call_item(opening: ToolOpening, status: str, arguments: str) -> Json:
    return {
        "id": f"fc_{opening.key}",
        "type": "function_call",
        "status": status,
        "call_id": f"call_{opening.key}",
        "name": opening.tool.name,
        "arguments": arguments,
    }


def reasoning_item(answer: Answer, summary: list[Json]) -> Json:
    return {"id": f"rs_fake_{answer.number}", "type": "reasoning", "summary": summary}


def summary_part(text: str) -> Json:
    return {"type": "summary_text", "text": text}


def search_items(answer: Answer) -> list[Json]:
    """Searches are charged by the call, so each is an item; usage does not count them."""
    return [
        {
            "id": f"ws_fake_{answer.number}_{index}",
            "type": "web_search_call",
            "status": "completed",
            "action": {"type": "search", "query": f"query {index}"},
        }
        for index in range(answer.directives.web_searches)
    ]


def response_object(answer: Answer, status: str, output: list[Json], **fields: Any) -> Json:
    return {
        "id": f"resp_fake_{answer.number}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": answer.question.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "metadata": {},
        **fields,
    }


def final_response(answer: Answer, output: list[Json], usage: UsageReport) -> Json:
    reason = INCOMPLETE_REASONS.get(answer.finish)
    details = None if reason is None else {"reason": reason}
    status = "completed" if reason is None else "incomplete"
    return response_object(answer, status, output, incomplete_details=details, usage=usage.tell())
