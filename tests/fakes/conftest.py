"""The provider that the tests of this folder are about, and OpenAI's own client of it."""

from collections.abc import AsyncIterator

import openai
import pytest

from tests.fakes.provider import FakeProvider


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture
async def client(fake: FakeProvider) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=fake.base_url, api_key="test", max_retries=0
    ) as open_client:
        yield open_client
