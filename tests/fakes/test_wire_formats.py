"""The bytes of each API, checked against the types of its provider's own library."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx2
import pytest
import pytest_asyncio
from anthropic.types import Message, RawMessageStreamEvent
from google.genai.types import GenerateContentResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.fakes.provider import FakeProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

Json = dict[str, Any]
GEMINI = "/v1beta/models/gemini-2.5-flash"
ANTHROPIC_HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(fake: FakeProvider) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {**ANTHROPIC_HEADERS, "x-goog-api-key": "k", "authorization": "Bearer k"}
    async with httpx2.AsyncClient(base_url=fake.root_url, headers=headers) as client:
        yield client


def said(directives: str) -> list[Json]:
    return [{"role": "user", "content": f"[[fake {directives}]]"}]


def request_of(api: str, directives: str, *, stream: bool) -> tuple[str, Json]:
    """The path and the body of a request that also asks for thoughts."""
    match api:
        case "chat_completions":
            options = {"stream_options": {"include_usage": True}} if stream else {}
            body = {"model": "m", "messages": said(directives), "stream": stream, **options}
            return "/v1/chat/completions", body
        case "responses":
            body = {"model": "m", "input": said(directives), "stream": stream}
            return "/v1/responses", {**body, "reasoning": {"summary": "auto"}}
        case "messages":
            thinking = {"type": "enabled", "budget_tokens": 1024}
            body = {"model": "m", "messages": said(directives), "stream": stream}
            return "/v1/messages", {**body, "max_tokens": 2048, "thinking": thinking}
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    contents = [{"role": "user", "parts": [{"text": f"[[fake {directives}]]"}]}]
    config = {"thinkingConfig": {"includeThoughts": True}}
    return f"{GEMINI}:{method}", {"contents": contents, "generationConfig": config}


async def events_of(http: httpx2.AsyncClient, api: str, directives: str) -> list[Json]:
    path, body = request_of(api, directives, stream=True)
    answer = await http.post(path, json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def types_of(events: list[Json]) -> list[str]:
    """The types in order; those that repeat are told once."""
    types = [event["type"] for event in events]
    return [name for i, name in enumerate(types) if i == 0 or types[i - 1] != name]


EVENT_TYPES: dict[str, TypeAdapter[Any]] = {
    "chat_completions": TypeAdapter(ChatCompletionChunk),
    "responses": TypeAdapter(ResponseStreamEvent),
    "messages": TypeAdapter(RawMessageStreamEvent),
    "generate_content": TypeAdapter(GenerateContentResponse),
}
BODY_TYPES: dict[str, Any] = {
    "chat_completions": ChatCompletion,
    "responses": Response,
    "messages": Message,
    "generate_content": GenerateContentResponse,
}


@pytest.mark.parametrize(
    "directives",
    [
        "tokens=2 cached=1 cache_write_5m=1 cache_write_1h=1 reasoning=4 web_searches=1 audio=1",
        'tool=clock tool=calculator args={"expression":"6*7"} reasoning=1',
        "tokens=1 finish=length",
        "finish=blocked",
        "tokens=0 continuous=1",
    ],
)
@pytest.mark.parametrize("api", EVENT_TYPES)
async def test_all_that_is_sent_is_of_the_types(
    http: httpx2.AsyncClient, api: str, directives: str
) -> None:
    events = await events_of(http, api, directives)
    assert events
    for event in events:
        if event.get("type") != "ping":
            EVENT_TYPES[api].validate_python(event)
    path, body = request_of(api, directives, stream=False)
    BODY_TYPES[api].model_validate((await http.post(path, json=body)).json())


async def test_messages_come_in_blocks(http: httpx2.AsyncClient) -> None:
    events = await events_of(http, "messages", "tokens=2 reasoning=3 continuous=1")
    assert types_of(events) == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    kinds = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta"]
    assert list(dict.fromkeys(kinds)) == ["thinking_delta", "signature_delta", "text_delta"]
    reasons = [e["delta"]["stop_reason"] for e in events if e["type"] == "message_delta"]
    assert reasons == [None, "end_turn"]


async def test_messages_tell_the_prompt_first_and_the_sum_last(
    fake: FakeProvider, http: httpx2.AsyncClient
) -> None:
    wish = "tokens=2 cached=1 cache_write_5m=2 cache_write_1h=3 reasoning=4 web_searches=5"
    events = await events_of(http, "messages", wish)
    start, end = events[0]["message"]["usage"], events[-2]["usage"]
    assert start["cache_creation"] == {
        "ephemeral_5m_input_tokens": 2,
        "ephemeral_1h_input_tokens": 3,
    }
    assert (start["cache_creation_input_tokens"], start["cache_read_input_tokens"]) == (5, 1)
    assert (start["input_tokens"], start["output_tokens"]) == (1, 0)
    assert (end["input_tokens"], end["output_tokens"]) == (1, 6)
    assert end["output_tokens_details"] == {"thinking_tokens": 4}
    assert end["server_tool_use"]["web_search_requests"] == 5
    assert "cache_creation" not in end
    assert fake.requests[-1].billed == {
        "input": 1,
        "cache_read": 1,
        "cache_write_5m": 2,
        "cache_write_1h": 3,
        "output": 2,
        "reasoning": 4,
        "web_search": 5,
    }


@pytest.mark.parametrize("api", ["chat_completions", "responses"])
async def test_openai_tells_of_written_caches(
    fake: FakeProvider, http: httpx2.AsyncClient, api: str
) -> None:
    path, body = request_of(api, "tokens=1 cached=1 cache_write_5m=2", stream=False)
    usage = (await http.post(path, json=body)).json()["usage"]
    details = usage.get("prompt_tokens_details") or usage["input_tokens_details"]
    assert (details["cached_tokens"], details["cache_write_tokens"]) == (1, 2)
    expected = {"input": 1, "cache_read": 1, "cache_write_5m": 2, "output": 1}
    assert fake.requests[-1].billed == expected


async def test_anthropic_refuses_by_header_and_status(
    fake: FakeProvider, http: httpx2.AsyncClient
) -> None:
    path, body = request_of("messages", "fault=429 fault_times=1", stream=False)
    limited = await http.post(path, json=body)
    assert (limited.headers["retry-after"], limited.status_code) == ("1", 429)
    assert limited.headers["request-id"] == f"req_fake_{fake.requests[-1].number}"
    assert limited.json()["type"] == "error"
    async with httpx2.AsyncClient(base_url=fake.root_url) as bare:
        statuses = []
        for headers in ({}, {"x-api-key": "k"}, ANTHROPIC_HEADERS):
            answer = await bare.post(path, json=body, headers=headers)
            statuses.append((answer.status_code, answer.json().get("error", {}).get("type")))
    assert statuses == [
        (401, "authentication_error"),
        (400, "invalid_request_error"),
        (200, None),
    ]
    client = anthropic.AsyncAnthropic(base_url=fake.root_url, api_key="k", max_retries=1)
    retried: Any = said("fault=529 fault_times=1 tokens=1")
    async with client:
        message = await client.messages.create(
            model="claude-haiku-4-5", max_tokens=9, messages=retried
        )
    assert message.content[0].type == "text"
    assert [record.status for record in fake.requests[-2:]] == [529, 200]


async def test_gemini_tells_its_usage_as_it_grows(
    fake: FakeProvider, http: httpx2.AsyncClient
) -> None:
    events = await events_of(http, "generate_content", "tokens=2 audio=1 cached=1 reasoning=3")
    told = [event["usageMetadata"] for event in events]
    counts = [usage["candidatesTokenCount"] for usage in told]
    assert (counts[0], counts[-3:]) == (0, [1, 2, 2])
    assert told[-1]["promptTokensDetails"] == [
        {"modality": "TEXT", "tokenCount": 4},
        {"modality": "AUDIO", "tokenCount": 1},
    ]
    assert (told[-1]["promptTokenCount"], told[-1]["totalTokenCount"]) == (5, 10)
    assert fake.requests[-1].billed == {
        "input": 3,
        "input_audio": 1,
        "cache_read": 1,
        "output": 2,
        "reasoning": 3,
    }


async def test_gemini_blocks_prompts_and_calls_that_it_cannot_read(
    fake: FakeProvider, http: httpx2.AsyncClient
) -> None:
    (event,) = await events_of(http, "generate_content", "finish=blocked")
    assert event["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}
    assert "candidates" not in event
    events = await events_of(http, "generate_content", 'tool=clock args="{oops"')
    assert events[-1]["candidates"][0]["finishReason"] == "MALFORMED_FUNCTION_CALL"
    path, body = request_of("generate_content", "fault=429", stream=False)
    error = (await http.post(path, json=body)).json()["error"]
    assert (error["status"], error["details"][0]["retryDelay"]) == ("RESOURCE_EXHAUSTED", "1s")
    async with httpx2.AsyncClient(base_url=fake.root_url) as bare:
        refused = await bare.post(path, json=body)
    assert refused.json()["error"]["status"] == "PERMISSION_DENIED"


async def test_responses_build_items(http: httpx2.AsyncClient) -> None:
    events = await events_of(http, "responses", "tokens=2 reasoning=3 web_searches=1 cached=1")
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    names = [name.removeprefix("response.") for name in types_of(events)]
    assert names == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    response = events[-1]["response"]
    kinds = [item["type"] for item in response["output"]]
    assert kinds == ["reasoning", "web_search_call", "message"]
    assert response["usage"]["input_tokens_details"]["cached_tokens"] == 1
    assert response["usage"]["output_tokens_details"]["reasoning_tokens"] == 3
    done = [e["item"] for e in events if e["type"] == "response.output_item.done"]
    assert done == response["output"]


@pytest.mark.parametrize(
    ("directives", "last", "status"),
    [
        ("tokens=1 finish=length", "response.incomplete", "incomplete"),
        ("tokens=2 err@1", "response.failed", "failed"),
        ("tool=clock", "response.completed", "completed"),
    ],
)
async def test_responses_end(
    http: httpx2.AsyncClient, directives: str, last: str, status: str
) -> None:
    end = (await events_of(http, "responses", directives))[-1]
    assert (end["type"], end["response"]["status"]) == (last, status)
