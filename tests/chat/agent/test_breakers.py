import asyncio

import pytest

from chat.agent import breakers
from chat.agent.breakers import ProviderPaused
from chat.agent.errors import AgentError


async def fail(provider, error):
    with pytest.raises(type(error)):
        async with breakers.watching(provider):
            raise error


async def test_a_provider_that_fails_again_and_again_is_left_alone_for_a_while(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("purgatory.domain.model.time.time", lambda: clock[0])
    for code in ["unavailable", "timeout"] * (breakers.THRESHOLD // 2):
        await fail("down", AgentError(code))
    with pytest.raises(ProviderPaused) as paused:
        async with breakers.watching("down"):
            raise AssertionError("it was asked")
    assert (paused.value.code, paused.value.is_retryable) == ("unavailable", False)
    async with breakers.watching("another"):
        pass
    clock[0] += breakers.PAUSE_S + 1
    await fail("down", AgentError("unavailable"))
    with pytest.raises(ProviderPaused):
        async with breakers.watching("down"):
            pass
    clock[0] += breakers.PAUSE_S + 1
    for _ in range(3):
        async with breakers.watching("down"):
            pass


async def test_what_says_nothing_of_an_outage_opens_no_circuit():
    others = [AgentError("rate_limited"), AgentError("refused"), asyncio.CancelledError()]
    for error in others * breakers.THRESHOLD:
        await fail("fine", error)
    async with breakers.watching("fine"):
        pass


async def test_one_answer_in_between_is_enough():
    for _ in range(3):
        for _ in range(breakers.THRESHOLD - 1):
            await fail("shaky", AgentError("unavailable"))
        async with breakers.watching("shaky"):
            pass


@pytest.mark.parametrize(
    "error", [AgentError("budget_exceeded"), AgentError("price_unknown"), asyncio.CancelledError()]
)
async def test_what_was_not_sent_or_was_stopped_is_no_answer_in_between(error):
    for _ in range(breakers.THRESHOLD - 1):
        await fail("down", AgentError("unavailable"))
    await fail("down", error)
    await fail("down", AgentError("unavailable"))
    with pytest.raises(ProviderPaused):
        async with breakers.watching("down"):
            pass
