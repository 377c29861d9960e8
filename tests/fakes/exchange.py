"""One request for a completion: answering it, streamed or whole, with the faults it asks for."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from tests.fakes.answers import Answer, UsageReport
from tests.fakes.connection import ChunkedBody, Connection
from tests.fakes.directives import Directives, Fault
from tests.fakes.records import RequestLog, RequestRecord
from tests.fakes.wire import (
    COMMENT_EVENT,
    DONE_EVENT,
    ROLE_DELTA,
    ChunkEncoder,
    compact,
    completion_body,
    completion_message,
    error_body,
    error_event,
    identity,
)

Json = dict[str, Any]
DRIP_SECONDS = 0.5
LAST_WORDS_SECONDS = 0.02


class Verdict(Enum):
    """What becomes of the answer and of its connection after a fault."""

    CONTINUE = "continue"
    BODY_ENDED = "body ended"
    CLOSE = "close"


class Exchange:
    """Answers one valid request; `fault` is the fault to apply this time, if any.

    A record ends just before the last bytes are written and nothing is awaited in between:
    whoever has read the whole answer also finds its record complete.
    """

    def __init__(
        self,
        connection: Connection,
        log: RequestLog,
        record: RequestRecord,
        directives: Directives,
        fault: Fault | None,
    ) -> None:
        self.connection = connection
        self.log = log
        self.record = record
        self.directives = directives
        self.fault = fault
        self.answer = Answer(record.number, directives, record.request["messages"])
        self.usage = UsageReport(record.request, directives)
        self.body = ChunkedBody(connection.writer, directives.piece_bytes)
        self.chunks = ChunkEncoder(record.number, record.model, usage_field=self.usage.wanted)

    async def run(self) -> bool:
        """Answer; returns whether the connection can take another request."""
        if self.fault is None or self.fault.within_stream:
            await asyncio.sleep(self.directives.ttft_ms / 1000)
            return await (self.stream() if self.record.request.get("stream") else self.whole())
        self.log.fault(self.record, self.fault.label)
        if self.fault.kind == "hang":
            await forever()
        self.refuse(self.fault.number)
        return True

    def refuse(self, status: int) -> None:
        extra = {"Retry-After": "1"} if status == 429 else {}
        self.record.status = status
        self.end_record()
        self.connection.respond(status, error_body(status), extra)

    def end_record(self) -> None:
        self.log.end(self.record, "complete" if self.record.fault is None else "faulted")

    async def whole(self) -> bool:
        """The answer in one piece, after the time that streaming it would have taken."""
        pieces: list[str] = []
        for draft in self.answer.drafts():
            await asyncio.sleep(self.directives.gap_ms / 1000 if pieces else 0)
            pieces.append(self.answer.piece(draft)[0])
        tools = [(key, tool.name, tool.arguments) for key, tool in self.answer.numbered_tools()]
        message = completion_message("".join(pieces), tools)
        usage = self.usage.after(len(pieces)) if self.usage.wanted else None
        shared = identity(self.record.number, self.record.model, "chat.completion")
        body = completion_body(shared, message, self.answer.finish, usage)
        self.record.status, self.record.usage_sent = 200, usage
        self.record.pieces, self.record.tokens_sent = pieces, len(pieces)
        self.log.first_token(self.record)
        self.end_record()
        self.connection.respond(200, compact(body, escaped=self.directives.surrogates))
        return True

    async def stream(self) -> bool:
        self.record.status = 200
        self.body.begin(f"req_fake_{self.record.number}")
        await self.body.send(self.chunks.delta(ROLE_DELTA, self.running_usage()))
        verdict = await self.send_tokens()
        if verdict is Verdict.CONTINUE:
            await self.send_ending()
        return verdict is not Verdict.CLOSE

    async def send_tokens(self) -> Verdict:
        """All tokens, or as many as come before a fault that ends the answer."""
        verdict = await self.fault_if_due()
        loop = asyncio.get_running_loop()
        gap, started = self.directives.gap_ms / 1000, loop.time()
        drafts = self.answer.drafts()
        draft = next(drafts, None)
        while draft is not None and verdict is Verdict.CONTINUE:
            # Due times are absolute, so that the rate holds however late a timer fires.
            due = started + gap * self.record.tokens_sent
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self.send_token(*self.answer.piece(draft))
            verdict = await self.fault_if_due()
            draft = next(drafts, None)
        return verdict

    async def send_token(self, text: str, delta: bytes) -> None:
        record = self.record
        record.tokens_sent += 1
        record.pieces.append(text)
        if record.tokens_sent == 1:
            self.log.first_token(record)
        await self.body.send(self.chunks.delta(delta, self.running_usage()))

    def running_usage(self) -> Json | None:
        """The usage so far, where it goes with every chunk."""
        if not self.usage.continuous:
            return None
        self.record.usage_sent = self.usage.after(self.record.tokens_sent)
        return self.record.usage_sent

    async def send_ending(self) -> None:
        """The finish reason, the usage if it was asked for, and the end of the body."""
        await self.body.send(self.chunks.finish(self.answer.finish, self.running_usage()))
        ending = DONE_EVENT
        if self.usage.wanted:
            self.record.usage_sent = self.usage.after(self.record.tokens_sent)
            ending = self.chunks.usage(self.record.usage_sent) + DONE_EVENT
        await self.end_body(ending)

    async def end_body(self, data: bytes) -> None:
        last = await self.body.send_all_but_last_piece(data)
        self.end_record()
        self.body.finish(last)

    async def fault_if_due(self) -> Verdict:
        """Apply the fault when as many tokens were sent as it waits for."""
        fault = self.fault
        if fault is None or fault.number != self.record.tokens_sent:
            return Verdict.CONTINUE
        self.log.fault(self.record, fault.label)
        return await STREAM_FAULTS[fault.kind](self)

    async def reset(self) -> Verdict:
        # A reset may overtake what was sent before; the client is to read that first.
        await asyncio.sleep(LAST_WORDS_SECONDS)
        self.end_record()
        self.connection.reset()
        return Verdict.CLOSE

    async def cut_off(self) -> Verdict:
        self.end_record()
        self.body.break_off(self.chunks.delta(ROLE_DELTA))
        return Verdict.CLOSE

    async def end_early(self) -> Verdict:
        await self.end_body(b"")
        return Verdict.BODY_ENDED

    async def stall(self) -> Verdict:
        return await forever()

    async def drip(self) -> Verdict:
        while True:
            await self.body.send(COMMENT_EVENT)
            await asyncio.sleep(DRIP_SECONDS)

    async def send_malformed(self) -> Verdict:
        await self.body.send(self.chunks.malformed())
        return Verdict.CONTINUE

    async def send_error(self) -> Verdict:
        await self.end_body(error_event())
        return Verdict.BODY_ENDED


async def forever() -> Verdict:
    """Wait for nothing; only the end of the connection ends it."""
    await asyncio.get_running_loop().create_future()
    return Verdict.CLOSE


STREAM_FAULTS: dict[str, Callable[[Exchange], Awaitable[Verdict]]] = {
    "rst": Exchange.reset,
    "cut": Exchange.cut_off,
    "eof": Exchange.end_early,
    "stall": Exchange.stall,
    "drip": Exchange.drip,
    "bad": Exchange.send_malformed,
    "err": Exchange.send_error,
}
