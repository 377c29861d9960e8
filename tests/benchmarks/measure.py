"""One measurement: a system under so many streams, from the first token to the last."""

import asyncio
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.benchmarks.client import TOKENS_PER_SECOND, Load, drive
from tests.benchmarks.processes import Use
from tests.benchmarks.systems import System

WARM_UP_STREAMS, WARM_UP_TOKENS = 10, 20
#: What a system still does about streams that have ended must not fall into the next measurement.
SETTLE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was measured of one system at one level."""

    system: str
    streams: int
    tokens: int
    seconds: float
    #: CPU microseconds for each delivered token, by role.
    cpu_us: dict[str, float]
    p50_ms: float
    p99_ms: float
    memory_mb: dict[str, float]

    @property
    def total_cpu_us(self) -> float:
        return sum(self.cpu_us.values())

    @property
    def total_memory_mb(self) -> float:
        return sum(self.memory_mb.values())


async def warm_up(system: System) -> None:
    """Let a system import, connect and cache what it does only once."""
    load = Load(tokens_per_stream=WARM_UP_TOKENS, streams=WARM_UP_STREAMS)
    await drive(await system.new_urls(WARM_UP_STREAMS), load)


async def measure(system: System, *, streams: int, seconds: float) -> Measurement:
    """Stream and measure. Raises WrongAnswer when a token is missing or out of order."""
    taken: list[Use] = []
    load = Load(
        tokens_per_stream=round(seconds * TOKENS_PER_SECOND),
        streams=streams,
        on_first=lambda: taken.append(system.processes.use()),
        on_last=lambda: taken.append(system.processes.use()),
    )
    urls = await system.new_urls(streams)
    await asyncio.sleep(SETTLE_S)
    await drive(urls, load)
    first, last = taken
    spent_s = last.since(first)
    return Measurement(
        system=system.name,
        streams=streams,
        tokens=load.expected,
        seconds=last.at - first.at,
        cpu_us={role: s * 1e6 / load.expected for role, s in spent_s.items()},
        p50_ms=percentile_ms(load.delays_ns, 50),
        p99_ms=percentile_ms(load.delays_ns, 99),
        memory_mb=system.processes.memory_mb(),
    )


def percentile_ms(delays_ns: Sequence[int], percent: int) -> float:
    """The delay that so many per cent of the tokens do not exceed."""
    return statistics.quantiles(delays_ns, n=100, method="inclusive")[percent - 1] / 1e6


def median(measured: Sequence[Measurement]) -> Measurement:
    """The median of each number over repeated measurements."""
    first = measured[0]

    def middle(of: Callable[[Measurement], float]) -> float:
        return statistics.median(of(each) for each in measured)

    return Measurement(
        system=first.system,
        streams=first.streams,
        tokens=first.tokens,
        seconds=middle(lambda m: m.seconds),
        cpu_us={role: middle(lambda m, role=role: m.cpu_us[role]) for role in first.cpu_us},
        p50_ms=middle(lambda m: m.p50_ms),
        p99_ms=middle(lambda m: m.p99_ms),
        memory_mb={r: middle(lambda m, r=r: m.memory_mb[r]) for r in first.memory_mb},
    )
