"""The fake provider's faults, its records and how soon it notices that a client left."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.fakes.provider import FakeProvider, RequestRecord
from tests.fakes.waiting import until

Json = dict[str, Any]


def asked(directives: str) -> list[Json]:
    return [{"role": "user", "content": f"[[fake {directives}]]"}]


async def texts(client: openai.AsyncOpenAI, directives: str) -> AsyncIterator[str]:
    """The texts of a streamed answer as they come; leaving early closes the connection."""
    async with await client.chat.completions.create(
        model="any-model", messages=asked(directives), stream=True
    ) as stream:
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


async def texts_until_error(
    client: openai.AsyncOpenAI, directives: str
) -> tuple[list[str], Exception | None]:
    received: list[str] = []
    try:
        async for text in texts(client, directives):
            received.append(text)
    except (openai.APIError, json.JSONDecodeError) as error:
        return received, error
    return received, None


async def ended(fake: FakeProvider) -> RequestRecord:
    """The only record, once it has ended."""
    await until(lambda: len(fake.requests) == 1 and fake.requests[0].outcome is not None)
    return fake.requests[0]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_statuses(
    fake: FakeProvider,
    client: openai.AsyncOpenAI,
    status: int,
    expected: type[openai.APIStatusError],
    streamed: bool,
) -> None:
    with pytest.raises(expected) as caught:
        await client.chat.completions.create(
            model="any-model", messages=asked(f"fault={status}"), stream=streamed
        )
    assert caught.value.status_code == status
    assert isinstance(caught.value.body, dict)
    assert set(caught.value.body) == {"message", "type", "param", "code"}
    assert caught.value.response.headers.get("retry-after") == ("1" if status == 429 else None)
    record = fake.requests[0]
    assert (record.outcome, record.fault, record.status) == ("faulted", f"fault={status}", status)


async def test_fault_times_are_counted_per_block(client: openai.AsyncOpenAI) -> None:
    block, other = "fault=500 fault_times=2 tokens=1", "tokens=2 fault=500 fault_times=1"
    failures = [(await texts_until_error(client, block))[1] is not None for _ in range(3)]
    assert failures == [True, True, False]
    assert (await texts_until_error(client, other))[1] is not None
    assert (await texts_until_error(client, other))[0] == ["w5.0 ", "w5.1 "]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("rst@3", openai.APIConnectionError),
        ("cut@3", openai.APIConnectionError),
        ("bad@3", json.JSONDecodeError),
        ("err@3", openai.APIError),
        ("eof@3", None),
    ],
)
async def test_faults_within_the_stream(
    fake: FakeProvider,
    client: openai.AsyncOpenAI,
    fault: str,
    expected: type[Exception] | None,
) -> None:
    received, error = await texts_until_error(client, f"tokens=9 {fault}")
    assert received == ["w1.0 ", "w1.1 ", "w1.2 "]
    assert error is None if expected is None else isinstance(error, expected)
    record = await ended(fake)
    assert record.fault == fault
    # A client that meets a malformed line may hang up before the rest is written.
    assert record.outcome in ({"faulted", "client_closed"} if fault == "bad@3" else {"faulted"})


async def test_fault_before_the_first_and_after_the_last_token(client: openai.AsyncOpenAI) -> None:
    received, error = await texts_until_error(client, "tokens=2 rst@0")
    assert (received, type(error)) == ([], openai.APIConnectionError)
    received, error = await texts_until_error(client, "tokens=2 rst@2")
    assert (received, type(error)) == (["w2.0 ", "w2.1 "], openai.APIConnectionError)
    received, error = await texts_until_error(client, "tokens=2 rst@3")
    assert (received, error) == (["w3.0 ", "w3.1 "], None)


@pytest.mark.parametrize("directives", ["hang", "tokens=3 stall@2", "tokens=3 drip@2"])
async def test_silence_ends_with_the_client(
    fake: FakeProvider, client: openai.AsyncOpenAI, directives: str
) -> None:
    impatient = client.with_options(timeout=0.15)
    if "drip" in directives:
        # Comments keep a reading client waiting, whatever its read timeout.
        impatient = client.with_options(timeout=0.7)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(texts_until_error(impatient, directives), 0.8)
    else:
        _received, error = await texts_until_error(impatient, directives)
        assert isinstance(error, openai.APITimeoutError)
    record = await ended(fake)
    assert record.outcome == "client_closed"
    assert record.fault == directives.rpartition(" ")[2]
    assert record.tokens_sent == (0 if directives == "hang" else 2)


@pytest.mark.parametrize("directives", ["tokens=5 gap_ms=60000", "tokens=5 stall@1"])
async def test_hang_up_is_noticed_at_once(
    fake: FakeProvider, client: openai.AsyncOpenAI, directives: str
) -> None:
    answer = texts(client, directives)
    assert await anext(answer) == "w1.0 "
    left_at = time.monotonic()
    await answer.aclose()  # type: ignore[attr-defined]
    record = await ended(fake)
    assert record.outcome == "client_closed"
    assert record.ended_monotonic is not None
    assert record.ended_monotonic - left_at < 0.1
    assert record.tokens_sent == 1


async def test_hang_up_before_the_first_token(
    fake: FakeProvider, client: openai.AsyncOpenAI
) -> None:
    waiting = asyncio.create_task(texts_until_error(client, "tokens=1 ttft_ms=60000"))
    await until(lambda: len(fake.requests) == 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (await ended(fake)).outcome == "client_closed"


async def test_closing_the_server_ends_running_answers() -> None:
    async with FakeProvider() as provider:
        address = {"base_url": provider.base_url, "api_key": "test", "max_retries": 0}
        async with openai.AsyncOpenAI(**address) as client:
            waiting = asyncio.create_task(texts_until_error(client, "tokens=1 stall@1"))
            await until(lambda: bool(provider.requests) and provider.requests[0].tokens_sent == 1)
            await provider.__aexit__(None, None, None)
            assert isinstance((await waiting)[1], openai.APIConnectionError)
    assert provider.requests[0].outcome == "server_closed"


@pytest.mark.parametrize(
    ("directives", "complaint"),
    [
        ("speed=9", "unknown directive: speed="),
        ("rst=9", "unknown directive: rst="),
        ("stamp", "unknown directive: stamp"),
        ("tokens=many", "tokens needs a whole number"),
        ("cut=0", "cut needs a whole number of at least 1"),
        ("cut=words:3", "cut is a number of characters or bytes:K"),
        ("gap_ms=-1", "gap_ms needs a number"),
        ("echo=yes", "echo is either 0 or 1"),
        ("fault=418", "fault is one of"),
        ("rst@1 eof@2", "one fault only"),
        ("finish=never", "finish is one of"),
        ("usage=5", "usage needs a JSON object"),
        ("usage={5}", "malformed JSON value"),
        ("args={}", "args must follow a tool"),
        ("tokens=1 echo=1", "only one of tokens, text and echo"),
        ("stamp=1 echo=1", "stamp makes tokens"),
        ("tool_forever=1", "tool_forever needs a tool"),
        ("fault_times=1", "fault_times needs a fault"),
        ("!", "cannot read the block"),
        ("tokens=", "a value is missing"),
        ("rst@1", "rst@1 needs a request with stream: true"),
    ],
)
async def test_bad_directives_are_refused(
    fake: FakeProvider, client: openai.AsyncOpenAI, directives: str, complaint: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="any-model", messages=asked(directives))
    assert complaint in str(caught.value)
    assert fake.requests[0].outcome == "rejected"


async def test_records_models_and_reset(fake: FakeProvider, client: openai.AsyncOpenAI) -> None:
    assert [item.id async for item in await client.models.list()] == ["fake-large", "fake-small"]
    tools: list[Any] = [{"type": "function", "function": {"name": "clock", "parameters": {}}}]
    await client.chat.completions.create(model="any-model", messages=asked("tokens=1"), tools=tools)
    async with openai.DefaultAsyncHttpxClient(base_url=fake.root_url) as http_client:
        (record,) = (await http_client.get("/log")).json()
        assert record["request"]["tools"] == tools
        assert (record["outcome"], record["text_sent"]) == ("complete", "w1.0 ")
        assert record["authorized"] is True
        assert record["received_at"] <= record["first_token_at"] <= record["ended_at"]
        assert "authorization" not in record["headers"]
        assert (await http_client.post("/reset")).status_code == 200
        assert (await http_client.get("/log")).json() == fake.requests == []
        assert (await http_client.get("/nowhere")).status_code == 404
        refused = await http_client.post("/v1/chat/completions", content=b"not JSON")
        assert refused.json()["error"]["type"] == "invalid_request_error"
        refused = await http_client.post("/v1/chat/completions", json={"model": "any-model"})
        assert "messages" in refused.json()["error"]["message"]


async def test_connections_are_kept_alive(fake: FakeProvider, client: openai.AsyncOpenAI) -> None:
    for directives in ("tokens=1", "tokens=2 eof@1", "tokens=1 err@1", "fault=500", "nothing=1"):
        await texts_until_error(client, directives)
        await until(lambda: fake.requests[-1].outcome is not None)
    assert len(fake.connections) == 1
