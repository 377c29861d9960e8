"""The load client: many WebSocket streams at once, each token checked and its delay noted.

A token is `index:nanoseconds `, stamped by the provider when it sends it; an answer is right when
its indices count from 0 without a gap. Deltas may be joined on the way: each token is still told
apart, with the delay of its own.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

TOKENS_PER_SECOND = 20
GAP_S = 1 / TOKENS_PER_SECOND
ENDINGS = ("run.finished", "run.failed", "run.cancelled", "refused")
#: How many times as long as its tokens take a stream may take altogether, plus the constant.
PATIENCE, PATIENCE_S = 4, 30


class WrongAnswer(Exception):
    """Tokens are missing, doubled or out of order, or a run did not finish."""


@dataclass(slots=True, kw_only=True)
class Load:
    """All streams of one measurement; calls `on_first` and `on_last` with the outer tokens."""

    tokens_per_stream: int
    streams: int
    on_first: Callable[[], None] = lambda: None
    on_last: Callable[[], None] = lambda: None
    delays_ns: list[int] = field(default_factory=list)

    @property
    def expected(self) -> int:
        return self.tokens_per_stream * self.streams

    @property
    def message(self) -> str:
        """The command that every stream begins with."""
        gap_ms = round(GAP_S * 1000)
        wish = f"[[fake stamp=1 tokens={self.tokens_per_stream} gap_ms={gap_ms}]]"
        return json.dumps({"type": "send_message", "text": wish})

    def note(self, delay_ns: int) -> None:
        """Count one token."""
        if not self.delays_ns:
            self.on_first()
        self.delays_ns.append(delay_ns)
        if len(self.delays_ns) == self.expected:
            self.on_last()


@dataclass(slots=True)
class Answer:
    """The tokens of one stream so far."""

    name: str
    load: Load
    count: int = 0
    rest: str = ""

    def add(self, delta: str, now_ns: int) -> None:
        """Take the next piece of text. Raises WrongAnswer."""
        *tokens, self.rest = (self.rest + delta).split(" ")
        for token in tokens:
            index, _, stamp = token.partition(":")
            if index != str(self.count) or not stamp.isdecimal():
                raise WrongAnswer(f"{self.name}: {token!r} where token {self.count} was due")
            self.count += 1
            self.load.note(now_ns - int(stamp))

    def end(self, frame: dict[str, object]) -> None:
        """Check the answer at its end. Raises WrongAnswer."""
        if frame["type"] != "run.finished":
            raise WrongAnswer(f"{self.name}: {frame}")
        if self.rest or self.count != self.load.tokens_per_stream:
            wanted = self.load.tokens_per_stream
            raise WrongAnswer(f"{self.name}: ended after {self.count} of {wanted} tokens")


async def drive(urls: Sequence[str], load: Load) -> None:
    """Have an answer streamed to each of `urls` at once. Raises WrongAnswer."""
    sockets = [await connect(url, compression=None, max_queue=None) for url in urls]
    try:
        async with asyncio.TaskGroup() as tasks:
            for number, socket in enumerate(sockets):
                answer = Answer(f"stream {number}", load)
                # Spread over one gap, so that the tokens of all streams do not come in step.
                tasks.create_task(stream(socket, answer, GAP_S * number / len(sockets)))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        await asyncio.gather(*(socket.close() for socket in sockets))


async def stream(socket: ClientConnection, answer: Answer, pause_s: float) -> None:
    """Send the message and read its answer to the end. Raises WrongAnswer."""
    await asyncio.sleep(pause_s)
    limit_s = answer.load.tokens_per_stream * GAP_S * PATIENCE + PATIENCE_S
    try:
        async with asyncio.timeout(limit_s):
            await socket.send(answer.load.message)
            await read(socket, answer)
    except TimeoutError:
        late = f"{answer.count} tokens came within {limit_s:.0f} s"
        raise WrongAnswer(f"{answer.name}: {late}") from None
    except ConnectionClosed as error:
        raise WrongAnswer(f"{answer.name}: {error} after {answer.count} tokens") from error


async def read(socket: ClientConnection, answer: Answer) -> None:
    """Read an answer to its end. Raises WrongAnswer or ConnectionClosed."""
    while True:
        data = await socket.recv()
        now_ns = time.time_ns()
        frame = json.loads(data)
        if frame["type"] == "text.delta":
            answer.add(frame["delta"], now_ns)
        elif frame["type"] in ENDINGS:
            answer.end(frame)
            return
