"""Each API through LangChain's class for it: the same directives, the same bill."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import anthropic
import httpx2
import openai
import pytest
import pytest_asyncio
from google import genai
from langchain_core import exceptions
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from tests.fakes.models import MODELS
from tests.fakes.provider import FakeProvider, RequestRecord
from tests.fakes.waiting import until
from tests.fakes.wire import CANARY

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: What is raised for a fault within a stream, which each library names in its own way.
FAULT_ERRORS: dict[str, tuple[type[Exception], ...]] = {
    "rst": (exceptions.ModelConnectionError, httpx2.ReadError, aiohttp.ClientPayloadError),
    "cut": (
        exceptions.ModelConnectionError,
        httpx2.RemoteProtocolError,
        aiohttp.ClientPayloadError,
    ),
    "bad": (json.JSONDecodeError, genai.errors.UnknownApiResponseError),
    "err": (openai.APIError, anthropic.APIStatusError, exceptions.ModelAPIError, ValueError),
}
USAGE = "tokens=3 cached=2 reasoning=5"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def models(server: FakeProvider) -> AsyncIterator[dict[str, BaseChatModel]]:
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(opened(server)) for name, opened in MODELS.items()
        }


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(models: dict[str, BaseChatModel], name: str) -> BaseChatModel:
    return models[name]


@pytest.fixture
def fake(server: FakeProvider) -> FakeProvider:
    server.reset()
    return server


def asked(directives: str) -> str:
    return f"one two [[fake {directives}]]"


def words(directives: str) -> int:
    return len(asked(directives).split())


async def answer(model: BaseChatModel, messages: Any, *, streamed: bool = True) -> AIMessage:
    if not streamed:
        return await model.ainvoke(messages)
    chunks = [chunk async for chunk in model.astream(messages)]
    return sum(chunks[1:], start=chunks[0])


async def ended(fake: FakeProvider) -> RequestRecord:
    await until(lambda: bool(fake.requests) and fake.requests[-1].outcome is not None)
    return fake.requests[-1]


@pytest.mark.parametrize("streamed", [True, False])
async def test_text_and_usage(fake: FakeProvider, model: BaseChatModel, streamed: bool) -> None:
    message = await answer(model, asked(USAGE), streamed=streamed)
    record = fake.requests[-1]
    assert message.text == record.text_sent == "".join(f"w{record.number}.{i} " for i in range(3))
    usage = message.usage_metadata
    assert usage is not None
    assert (usage["input_tokens"], usage["output_tokens"]) == (words(USAGE), 8)
    assert usage["input_token_details"]["cache_read"] == 2
    assert usage["output_token_details"]["reasoning"] == 5
    expected = {"input": words(USAGE) - 2, "cache_read": 2, "output": 3, "reasoning": 5}
    assert record.billed == expected
    assert record.model in str(message.response_metadata)
    assert (record.outcome, record.authorized) == ("complete", True)


@pytest.mark.parametrize("streamed", [True, False])
async def test_tools_and_their_results(
    fake: FakeProvider, model: BaseChatModel, streamed: bool
) -> None:
    question = HumanMessage(asked('tool=calculator args={"expression":"6*7"} tool=clock'))
    first = await answer(model, [question], streamed=streamed)
    calls = [(call["name"], call["args"]) for call in first.tool_calls]
    assert calls == [("calculator", {"expression": "6*7"}), ("clock", {})]
    results = [
        ToolMessage(text, tool_call_id=call["id"], name=call["name"])
        for text, call in zip(("12:00", "42"), first.tool_calls, strict=True)
    ]
    second = await answer(model, [question, first, *results], streamed=streamed)
    assert (second.text, second.tool_calls) == ("The result is 42.", [])


@pytest.mark.parametrize("streamed", [True, False])
async def test_thoughts_are_shown_to_whoever_asks(
    models: dict[str, BaseChatModel], fake: FakeProvider, name: str, streamed: bool
) -> None:
    message = await answer(models[name], asked("tokens=1 reasoning=9"), streamed=streamed)
    thoughts = "".join(
        str(block.get("reasoning", ""))
        for block in message.content_blocks
        if block["type"] == "reasoning"
    )
    number = fake.requests[-1].number
    shown = f"Thinking about answer {number}."
    assert thoughts == ("" if name == "chat_completions" else shown)
    assert fake.requests[-1].text_sent == message.text


async def test_echo_shows_the_turns(fake: FakeProvider, model: BaseChatModel) -> None:
    said = [
        SystemMessage("be brief"),
        HumanMessage("hi"),
        AIMessage("yes"),
        HumanMessage(asked("echo=1")),
    ]
    turns = json.loads((await answer(model, said)).text)
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user"]
    assert "be brief" in json.dumps(turns[0])
    assert fake.requests[-1].user_text == said[-1].content


@pytest.mark.parametrize(
    ("directives", "billed"), [("tokens=2 nousage=1", 2), ("tokens=2 zerousage=1", 2)]
)
async def test_usage_that_is_not_told_is_billed(
    fake: FakeProvider, model: BaseChatModel, directives: str, billed: int
) -> None:
    usage = (await answer(model, asked(directives))).usage_metadata
    assert usage is None or usage["total_tokens"] == 0
    assert fake.requests[-1].billed == {"input": words(directives), "output": billed}


@pytest.mark.parametrize("finish", ["length", "content_filter", "blocked"])
async def test_finish_reasons(fake: FakeProvider, model: BaseChatModel, finish: str) -> None:
    message = await answer(model, asked(f"tokens=1 finish={finish}"))
    assert message.text == fake.requests[-1].text_sent
    assert bool(message.text) == (finish != "blocked")
    told = json.dumps(message.response_metadata, default=str).lower()
    reasons = {"length": ("length", "max_tokens", "max_output_tokens")}
    refusals = ("content_filter", "refusal", "safety", "prohibited_content")
    assert any(reason in told for reason in reasons.get(finish, refusals))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, exceptions.ModelInvalidRequestError),
        (401, exceptions.ModelAuthenticationError),
        (429, exceptions.ModelRateLimitError),
        (500, exceptions.ModelAPIError),
        (503, exceptions.ModelAPIError),
        (529, exceptions.ModelAPIError),
    ],
)
async def test_statuses(
    fake: FakeProvider, model: BaseChatModel, status: int, expected: type[Exception]
) -> None:
    with pytest.raises(expected, match=CANARY):
        await answer(model, asked(f"fault={status} fault_times=1"))
    record = fake.requests[-1]
    assert (record.status, record.outcome, record.billed) == (status, "faulted", {})
    assert (await answer(model, asked(f"fault={status} fault_times=1"))).text


@pytest.mark.parametrize("fault", ["rst@2", "cut@2", "bad@2", "err@2"])
async def test_faults_within_the_stream(
    fake: FakeProvider, model: BaseChatModel, fault: str
) -> None:
    texts: list[str] = []

    async def read() -> None:
        async for chunk in model.astream(asked(f"tokens=4 {fault}")):
            texts.append(chunk.text)

    with pytest.raises(FAULT_ERRORS[fault[:3]]):
        await read()
    record = await ended(fake)
    assert "".join(texts) == f"w{record.number}.0 w{record.number}.1 "
    assert record.fault == fault
    assert record.billed["output"] >= 2


async def test_a_stream_that_ends_early_looks_whole(
    fake: FakeProvider, model: BaseChatModel
) -> None:
    message = await answer(model, asked("tokens=4 eof@2"))
    number = fake.requests[-1].number
    assert message.text == f"w{number}.0 w{number}.1 "
    assert "finish_reason" not in message.response_metadata
    assert fake.requests[-1].outcome == "faulted"


@pytest.mark.parametrize("silence", ["stall@1", "drip@1"])
async def test_who_leaves_is_noticed_and_billed(
    fake: FakeProvider, model: BaseChatModel, silence: str
) -> None:
    directives = f"tokens=4 cached=1 {silence}"

    async def read() -> None:
        async for _ in model.astream(asked(directives)):
            pass

    reading = asyncio.create_task(read())
    await until(lambda: bool(fake.requests) and fake.requests[-1].fault == silence)
    while not reading.done():
        # Python 3.11's wait_for, which langchain-openai uses, may swallow a cancellation.
        reading.cancel()
        await asyncio.wait([reading], timeout=0.05)
    record = await ended(fake)
    assert record.outcome == "client_closed"
    assert record.billed == {"input": words(directives) - 1, "cache_read": 1, "output": 1}


async def test_what_cannot_be_done_is_refused(fake: FakeProvider, model: BaseChatModel) -> None:
    with pytest.raises(exceptions.ModelInvalidRequestError, match="unknown directive: speed="):
        await answer(model, asked("speed=9"))
    with pytest.raises(exceptions.ModelInvalidRequestError, match="needs a request with stream"):
        await answer(model, asked("rst@1"), streamed=False)
    assert {record.outcome for record in fake.requests} == {"rejected"}
