"""A circuit breaker for each provider: one that fails again and again is left alone for a while.

The state is that of this process. Only what says that a provider is down counts: an error, a
silence or a broken connection. Whoever answers is up, also with a refusal. A request that was not
sent, or was stopped, says neither.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState

from chat.agent.errors import AgentError

#: Requests in a row that fail before a provider is left alone.
THRESHOLD = 10
PAUSE_S = 5.0
_OUTAGES = ("unavailable", "timeout", "interrupted")
#: What is refused in here; the provider is not asked, or not asked to go on.
_REFUSED_HERE = ("budget_exceeded", "price_unknown")


class ProviderPaused(AgentError):
    """The provider has failed so often that it is not asked at the moment."""

    is_retryable = False

    def __init__(self) -> None:
        super().__init__("unavailable")


def _is_refusal(error: AgentError) -> bool:
    return error.code not in _OUTAGES


def new_factory() -> AsyncCircuitBreakerFactory:
    """Make breakers that know of no outage."""
    return AsyncCircuitBreakerFactory(exclude=[(AgentError, _is_refusal)])


_factory = new_factory()


@asynccontextmanager
async def watching(provider: str) -> AsyncIterator[None]:
    """Let a request through and take note of how it ends. Raises ProviderPaused."""
    if not provider:
        yield
        return
    breaker = await _factory.get_breaker(provider, threshold=THRESHOLD, ttl=PAUSE_S)
    try:
        await breaker.__aenter__()
    except OpenedState:
        raise ProviderPaused from None
    try:
        yield
    except AgentError as error:
        if error.code not in _REFUSED_HERE:
            await breaker.__aexit__(type(error), error, error.__traceback__)
        raise
    # What was stopped, or broke in here, says nothing of the provider.
    await breaker.__aexit__(None, None, None)
