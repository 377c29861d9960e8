"""A circuit breaker for each provider: one that fails again and again is left alone for a while.

The state is that of this process. Only what says that a provider is down counts: an error, a
silence or a broken connection, and no refusal of one request.
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


class ProviderPaused(AgentError):
    """The provider has failed so often that it is not asked at the moment."""

    is_retryable = False

    def __init__(self) -> None:
        super().__init__("unavailable")


def _is_no_outage(error: BaseException) -> bool:
    return not (isinstance(error, AgentError) and error.code in _OUTAGES)


def new_factory() -> AsyncCircuitBreakerFactory:
    """Make breakers that know of no outage."""
    return AsyncCircuitBreakerFactory(exclude=[(BaseException, _is_no_outage)])


_factory = new_factory()


@asynccontextmanager
async def watching(provider: str) -> AsyncIterator[None]:
    """Let a request through and take note of how it ends. Raises ProviderPaused."""
    if not provider:
        yield
        return
    breaker = await _factory.get_breaker(provider, threshold=THRESHOLD, ttl=PAUSE_S)
    try:
        async with breaker:
            yield
    except OpenedState:
        raise ProviderPaused from None
