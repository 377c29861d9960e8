"""The fake provider seen through the real client libraries: answers, usage and tool calls."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai.types.chat import ChatCompletionChunk

from tests.fakes.provider import FakeProvider, read_log

Json = dict[str, Any]


@pytest.fixture
async def model(fake: FakeProvider) -> AsyncIterator[ChatOpenAI]:
    async with openai.DefaultAsyncHttpxClient() as http_client:
        yield ChatOpenAI(
            model="fake-small",
            base_url=fake.base_url,
            api_key="test",
            stream_usage=True,
            max_retries=0,
            http_async_client=http_client,
        )


def asked(directives: str) -> list[Json]:
    return [{"role": "user", "content": f"please answer [[fake {directives}]] now"}]


async def chunks_of(
    client: openai.AsyncOpenAI, directives: str, **options: Any
) -> list[ChatCompletionChunk]:
    stream = await client.chat.completions.create(
        model="any-model",
        messages=asked(directives),
        stream=True,
        stream_options={"include_usage": True},
        **options,
    )
    return [chunk async for chunk in stream]


def deltas(chunks: list[ChatCompletionChunk]) -> list[str]:
    """The texts of all chunks that carry one."""
    texts = [item.choices[0].delta.content for item in chunks if item.choices]
    return [text for text in texts if text]


async def whole_message(model: ChatOpenAI, messages: str | list[Any]) -> AIMessageChunk:
    total: AIMessageChunk | None = None
    async for chunk in model.astream(messages):
        total = chunk if total is None else total + chunk
    assert total is not None
    return total


async def test_defaults(fake: FakeProvider, client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="any-model", messages=[{"role": "user", "content": "hello"}], stream=True
    )
    chunks = [chunk async for chunk in stream]
    assert deltas(chunks) == [f"w1.{index} " for index in range(20)]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[0].choices[0].delta.content == ""
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)
    assert {(item.id, item.model, item.service_tier) for item in chunks} == {
        ("chatcmpl-fake-1", "any-model", "default")
    }
    assert fake.requests[0].usage_sent is None


async def test_answers_without_streaming(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="any-model", messages=asked("tokens=3 finish=length cached=1")
    )
    assert answer.choices[0].message.content == "w1.0 w1.1 w1.2 "
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 3)
    answer = await client.chat.completions.create(
        model="any-model", messages=asked('tool=calculator args={"expression":"6*7"}')
    )
    calls = answer.choices[0].message.tool_calls or []
    assert [call.function.arguments for call in calls] == ['{"expression":"6*7"}']
    assert answer.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("directives", "expected"),
    [
        ('text="one two" cut=4', ["one ", "two"]),
        ("text='it\\'s \\x41' cut=20", ["it's A"]),
        (r'text="caf\u00e9 ]] [[fake tokens=1]]" cut=99', ["café ]] [[fake tokens=1]]"]),
        ('text="zażółć 👋" cut=bytes:1', ["zaż", "ółć", " 👋"]),
        ("text=word", ["wor", "d"]),
        ("tokens=0", []),
    ],
)
async def test_texts(client: openai.AsyncOpenAI, directives: str, expected: list[str]) -> None:
    assert deltas(await chunks_of(client, directives)) == expected


async def test_surrogate_halves_come_in_two_chunks(
    fake: FakeProvider, client: openai.AsyncOpenAI
) -> None:
    parts = deltas(await chunks_of(client, 'text="a👋b" surrogates=1'))
    assert parts == ["a\ud83d", "\udc4bb"]
    assert fake.requests[0].text_sent == "a👋b"


async def test_bytes_are_written_in_pieces(fake: FakeProvider) -> None:
    async with openai.DefaultAsyncHttpxClient() as http_client:
        body = {"model": "m", "stream": True, "messages": asked('text="ółć" cut=bytes:1')}
        url = f"{fake.base_url}/chat/completions"
        async with http_client.stream("POST", url, json=body) as response:
            pieces = [piece async for piece in response.aiter_raw()]
    assert {len(piece) for piece in pieces} == {1}
    assert "ółć" in b"".join(pieces).decode()


async def test_gaps_and_first_token(client: openai.AsyncOpenAI, fake: FakeProvider) -> None:
    started = time.monotonic()
    await chunks_of(client, "tokens=5 gap_ms=25 ttft_ms=100")
    record = fake.requests[0]
    assert 0.2 <= time.monotonic() - started < 0.6
    assert record.first_token_monotonic is not None
    assert record.first_token_monotonic - record.received_monotonic >= 0.1


async def test_stamps_are_send_times(client: openai.AsyncOpenAI) -> None:
    before = time.time_ns()
    stamps = [part.split(":") for part in deltas(await chunks_of(client, "stamp=1 tokens=3"))]
    assert [int(index) for index, _time in stamps] == [0, 1, 2]
    assert before < int(stamps[0][1]) < int(stamps[2][1]) < time.time_ns()


async def test_usage(client: openai.AsyncOpenAI) -> None:
    chunks = await chunks_of(client, "tokens=4 cached=3 reasoning=10")
    assert chunks[-1].choices == []
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (7, 14, 21)
    assert usage.prompt_tokens_details.cached_tokens == 3
    assert usage.completion_tokens_details.reasoning_tokens == 10
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_other_usages(client: openai.AsyncOpenAI) -> None:
    given = {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 99}
    chunks = await chunks_of(client, f"usage={json.dumps(given)}")
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.model_dump(exclude_unset=True) == given
    chunks = await chunks_of(client, "nousage=1")
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)
    chunks = await chunks_of(client, "zerousage=1")
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 0


async def test_continuous_usage_is_cumulative(client: openai.AsyncOpenAI) -> None:
    chunks = await chunks_of(client, "tokens=3 continuous=1")
    counts = [chunk.usage.completion_tokens for chunk in chunks if chunk.usage]
    assert counts == [0, 1, 2, 3, 3, 3]
    assert len(counts) == len(chunks)


@pytest.mark.parametrize("reason", ["length", "content_filter", "stop"])
async def test_finish_reasons(client: openai.AsyncOpenAI, reason: str) -> None:
    chunks = await chunks_of(client, f"tokens=1 finish={reason}")
    assert chunks[-2].choices[0].finish_reason == reason


async def test_langchain_gets_text_and_usage(model: ChatOpenAI, fake: FakeProvider) -> None:
    message = await whole_message(model, "two words [[fake tokens=3 cached=1 reasoning=2]]")
    assert message.content == fake.requests[0].text_sent == "w1.0 w1.1 w1.2 "
    assert message.usage_metadata is not None
    assert message.usage_metadata["input_tokens"] == 6
    assert message.usage_metadata["output_tokens"] == 5
    assert message.usage_metadata["input_token_details"]["cache_read"] == 1
    assert message.response_metadata["model_name"] == "fake-small"


async def test_tool_calls_and_their_results(model: ChatOpenAI) -> None:
    question = HumanMessage(
        'compute [[fake tool=calculator args={"expression":"6*7"} tool=clock args={}]]'
    )
    first = await whole_message(model, [question])
    assert [(call["name"], call["args"]) for call in first.tool_calls] == [
        ("calculator", {"expression": "6*7"}),
        ("clock", {}),
    ]
    assert first.response_metadata["finish_reason"] == "tool_calls"
    results = [ToolMessage("42", tool_call_id=str(call["id"])) for call in first.tool_calls]
    second = await whole_message(model, [question, first, *results])
    assert second.content == "The result is 42."
    assert not second.tool_calls
    third = await whole_message(model, [question, first, *results, second, question])
    assert len(third.tool_calls) == 2
    assert {call["id"] for call in third.tool_calls}.isdisjoint(
        {call["id"] for call in first.tool_calls}
    )


async def test_tools_forever_and_malformed_arguments(model: ChatOpenAI) -> None:
    question = HumanMessage('go [[fake tool=clock args="{oops" tool_forever=1]]')
    first = await whole_message(model, [question])
    assert first.tool_call_chunks[0]["args"] == "{oops"
    again = await whole_message(model, [question, first, ToolMessage("no", tool_call_id="a")])
    assert again.tool_call_chunks


async def test_echo_and_last_block_of_last_user_message(client: openai.AsyncOpenAI) -> None:
    messages = [
        {"role": "user", "content": "old [[fake tokens=1]]"},
        {"role": "assistant", "content": "yes"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "[[fake tokens=2]] [[fake echo=1]]"}],
        },
    ]
    answer = await client.chat.completions.create(model="any-model", messages=messages)
    assert json.loads(answer.choices[0].message.content or "") == messages


async def test_many_streams_do_not_mix(client: openai.AsyncOpenAI, fake: FakeProvider) -> None:
    answers = await asyncio.gather(*(chunks_of(client, "tokens=10 gap_ms=5") for _ in range(40)))
    for answer in answers:
        number = answer[0].id.removeprefix("chatcmpl-fake-")
        assert deltas(answer) == [f"w{number}.{index} " for index in range(10)]
    assert {record.outcome for record in fake.requests} == {"complete"}


def test_in_thread() -> None:
    with (
        FakeProvider.in_thread() as fake,
        openai.OpenAI(base_url=fake.base_url, api_key="test", max_retries=0) as client,
    ):
        answer = client.chat.completions.create(model="any-model", messages=asked("tokens=1"))
        assert answer.choices[0].message.content == "w1.0 "
        assert fake.requests[0].outcome == "complete"


def test_as_a_process(tmp_path: Path) -> None:
    port_file, log_file = tmp_path / "port", tmp_path / "log"
    command = [sys.executable, "-m", "tests.fakes.provider", "--port", "0"]
    command += ["--port-file", str(port_file), "--log", str(log_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port_file.read_text(encoding="utf-8").strip() == port
        base_url = f"http://127.0.0.1:{port}/v1"
        with openai.OpenAI(base_url=base_url, api_key="secret", max_retries=0) as client:
            client.chat.completions.create(model="any-model", messages=asked("tokens=2"))
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(5) == 0
    (record,) = read_log(log_file)
    assert (record["outcome"], record["tokens_sent"], record["authorized"]) == ("complete", 2, True)
    assert record["request"]["model"] == "any-model"
    assert "secret" not in log_file.read_text(encoding="utf-8")
