"""The load: conversations that are asked, followed, stopped and asked twice while things break."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from uuid import uuid4

from tests.chaos.clients import Caller, Follower, Json, SseFollower, WebSocketFollower, new_key
from tests.chaos.loops import LoopThread
from tests.process.product import wait_for


@dataclass(slots=True, kw_only=True)
class Talk:
    """One session with one message, whoever follows it, and what became of it."""

    text: str
    caller: Caller
    followers: list[Follower]
    session_id: str
    key: str = field(default_factory=new_key)
    #: Asked for; None is the product's default.
    model: str | None = None
    #: Stopped by its user so long after it was accepted.
    stop_after_s: float | None = None
    #: From how many devices at once.
    stops: int = 1
    #: Sent twice with the same key, as after a lost answer.
    is_repeated: bool = False
    run_ids: list[str] = field(default_factory=list)
    stop_acked_at: float | None = None
    accepted_after_s: float = 0.0

    @property
    def run_id(self) -> str:
        """The run that this message started."""
        return self.run_ids[0]

    @property
    def is_streaming(self) -> bool:
        """Whether each of its followers has been shown a part of the answer."""
        return all(
            sum(e["type"] == "text.delta" for e in follower.events) > 2
            for follower in self.followers
        )

    @property
    def has_ended(self) -> bool:
        """Whether each of its followers was told the end."""
        return bool(self.run_ids) and all(self.run_id in f.ends for f in self.followers)

    async def play(self) -> None:
        """Follow, send, and stop if that is meant."""
        session = {"session_id": self.session_id, "model": self.model}
        await self.caller.post("/api/sessions", session)
        for follower in self.followers:
            follower.start()
        await self.send()
        if self.is_repeated:
            await self.send()
        if self.stop_after_s is not None:
            await asyncio.sleep(self.stop_after_s)
            others = [Caller(base_url=self.caller.base_url) for _ in range(self.stops)]
            await asyncio.gather(*map(self.stop, others))

    async def send(self) -> None:
        """Send until it is acked."""
        started = time.monotonic()
        path = f"/api/sessions/{self.session_id}/messages"
        answer = await self.caller.post(path, {"text": self.text}, key=self.key)
        self.run_ids.append(answer["run_id"])
        self.accepted_after_s = time.monotonic() - started

    async def stop(self, via: Caller) -> None:
        """Ask for the end of the run until that is acked."""
        await via.post(f"/api/runs/{self.run_id}/cancel", {})
        self.stop_acked_at = time.monotonic()


class Crowd:
    """Many talks at once, on an event loop of their own."""

    def __init__(self) -> None:
        self.thread = LoopThread("clients")
        self._playing: list[Future[None]] = []

    def close(self) -> None:
        self.thread.close()

    def begin(self, talks: Sequence[Talk]) -> None:
        """Start to play them, spread over a moment."""
        for number, talk in enumerate(talks):
            self._playing.append(self.thread.spawn(_later(talk, 0.02 * number)))

    def wait_for(
        self, talks: Sequence[Talk], holds: Callable[[Talk], bool], *, timeout_s: float
    ) -> None:
        """Wait until something holds of all talks; fails with those of which it does not."""
        try:
            wait_for(lambda: all(map(holds, talks)), timeout_s=timeout_s)
        except AssertionError:
            left = [talk for talk in talks if not holds(talk)]
            told = [f"{t.text} {t.run_ids} {t.caller.tries[-3:]} {_where(t)}" for t in left[:3]]
            raise AssertionError(
                f"not within {timeout_s:.0f} s, {len(left)} of {len(talks)}: {told}"
            ) from None

    def end(self, talks: Sequence[Talk]) -> None:
        """Let everybody leave. Raises what any of them did not expect."""
        playing, self._playing = self._playing, []
        for item in playing:
            item.result(30)
        self.dismiss(talks)

    def dismiss(self, talks: Iterable[Talk]) -> None:
        """Let those leave who have seen what they came for."""
        self.thread.run(_all([follower.stop() for talk in talks for follower in talk.followers]))

    def get(self, base_url: str, paths: Sequence[str]) -> list[Json]:
        """Read several things from the REST API at once."""
        return self.thread.run(_all([Caller(base_url=base_url).get(path) for path in paths]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is going on, and what people do meanwhile."""

    streams: int = 8
    tokens: int = 80
    gap_ms: int = 100
    followers: int = 1
    #: Which part of the people leave and come back, stop their run, send twice.
    restless: float = 0.3
    stopping: float = 0.1
    repeating: float = 0.2
    wish: str = ""

    @property
    def duration_s(self) -> float:
        return self.tokens * self.gap_ms / 1000

    def talks(self, urls: Sequence[str]) -> list[Talk]:
        """Make the talks; the shares are exact, who it is is not."""
        made = [self._talk(number, urls[number % len(urls)]) for number in range(self.streams)]
        for talk in random.sample(made, round(self.restless * len(made))):
            for follower in talk.followers:
                follower.is_restless = True
        for talk in random.sample(made, round(self.stopping * len(made))):
            talk.stop_after_s = random.uniform(0, self.duration_s)
        for talk in random.sample(made, round(self.repeating * len(made))):
            talk.is_repeated = True
        return made

    def _talk(self, number: int, url: str) -> Talk:
        session_id = uuid4().hex
        wish = self.wish or f"tokens={self.tokens} gap_ms={self.gap_ms}"
        kinds = (WebSocketFollower, SseFollower)
        return Talk(
            text=f"{session_id} [[fake {wish}]]",
            caller=Caller(base_url=url),
            followers=[
                kinds[(number + n) % 2](base_url=url, session_id=session_id)
                for n in range(self.followers)
            ],
            session_id=session_id,
        )


async def _later(talk: Talk, pause_s: float) -> None:
    await asyncio.sleep(pause_s)
    await talk.play()


async def _all(work: Sequence[object]) -> list[Json]:
    return await asyncio.gather(*work)  # type: ignore[call-overload, no-any-return]


def _where(talk: Talk) -> list[str]:
    told = []
    for follower in talk.followers:
        types = [event["type"] for event in follower.events[-2:]]
        place = f"{follower.transport} at {follower.position} {types}"
        told.append(f"{place} {follower.connections[-1:]} {follower.error}")
    return told
