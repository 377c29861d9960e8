"""LangChain's classes for each API, pointed at the fake provider."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import openai
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI

from tests.fakes.provider import FakeProvider


@asynccontextmanager
async def chat_completions(fake: FakeProvider, **options: Any) -> AsyncIterator[BaseChatModel]:
    async with openai.DefaultAsyncHttpxClient() as http:
        yield ChatOpenAI(
            model="gpt-4o-mini",
            base_url=fake.base_url,
            api_key="test",
            max_retries=0,
            stream_usage=True,
            http_async_client=http,
            **options,
        )


def responses(fake: FakeProvider) -> Any:
    return chat_completions(fake, use_responses_api=True, reasoning={"summary": "auto"})


@asynccontextmanager
async def messages(fake: FakeProvider) -> AsyncIterator[BaseChatModel]:
    model = ChatAnthropic(
        model="claude-haiku-4-5",
        base_url=fake.root_url,
        api_key="test",
        max_retries=0,
        max_tokens=4096,
        thinking={"type": "enabled", "budget_tokens": 1024},
    )
    yield model
    await model._async_client.close()


@asynccontextmanager
async def generate_content(fake: FakeProvider) -> AsyncIterator[BaseChatModel]:
    model = ChatGoogleGenerativeAI(
        model="gemini-2.5-flash",
        base_url=fake.root_url,
        api_key="test",
        # The first attempt counts; 0 would stand for the default.
        max_retries=1,
        include_thoughts=True,
    )
    yield model
    await model.aclose()


MODELS: dict[str, Callable[[FakeProvider], Any]] = {
    "chat_completions": chat_completions,
    "responses": responses,
    "messages": messages,
    "generate_content": generate_content,
}
