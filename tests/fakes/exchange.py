"""One request for an answer: giving it, streamed or whole, with the faults it asks for."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum

from tests.fakes.answers import Answer, Piece
from tests.fakes.api import Api
from tests.fakes.connection import ChunkedBody, Connection
from tests.fakes.directives import Fault
from tests.fakes.records import RequestLog, RequestRecord
from tests.fakes.usage import UsageReport, planned_counts
from tests.fakes.wire import compact

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
        api: Api,
        answer: Answer,
        fault: Fault | None,
    ) -> None:
        self.connection = connection
        self.log = log
        self.record = record
        self.directives = answer.directives
        self.fault = fault
        self.api = api
        self.answer = answer
        planned = planned_counts(answer.directives, answer.question.words)
        self.usage = UsageReport(record, answer.directives, planned, api)
        record.bill = self.usage.billed
        self.body = ChunkedBody(connection.writer, answer.directives.piece_bytes)
        self.writer = api.writer(answer, self.usage)

    async def run(self) -> bool:
        """Answer; returns whether the connection can take another request."""
        if self.fault is None or self.fault.within_stream:
            await asyncio.sleep(self.directives.ttft_ms / 1000)
            return await (self.stream() if self.answer.question.streamed else self.whole())
        self.log.fault(self.record, self.fault.label)
        if self.fault.kind == "hang":
            await forever()
        self.refuse(self.fault.number)
        return True

    def refuse(self, status: int) -> None:
        self.record.status = status
        self.end_record()
        headers = self.api.headers(self.record.number, status)
        self.connection.respond(status, self.api.error(status), headers)

    def end_record(self) -> None:
        self.log.end(self.record, "complete" if self.record.fault is None else "faulted")

    async def whole(self) -> bool:
        """The answer in one piece, after the time that streaming it would have taken."""
        record, pieces = self.record, list[str]()
        for draft in self.answer.drafts():
            await asyncio.sleep(self.directives.gap_ms / 1000 if pieces else 0)
            pieces.append(text_in(self.answer.piece(draft)))
        record.status, record.pieces, record.tokens_sent = 200, pieces, len(pieces)
        body = self.api.body(self.answer, "".join(pieces), self.usage)
        self.log.first_token(record)
        self.end_record()
        headers = self.api.headers(record.number, 200)
        data = compact(body, escaped=self.directives.surrogates)
        self.connection.respond(200, data, headers)
        return True

    async def stream(self) -> bool:
        self.record.status = 200
        self.body.begin(self.api.headers(self.record.number, 200))
        await self.body.send(self.writer.opening())
        verdict = await self.send_tokens()
        if verdict is Verdict.CONTINUE:
            await self.end_body(self.writer.ending())
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
            await self.send_token(self.answer.piece(draft))
            verdict = await self.fault_if_due()
            draft = next(drafts, None)
        return verdict

    async def send_token(self, piece: Piece) -> None:
        record = self.record
        record.tokens_sent += 1
        record.pieces.append(text_in(piece))
        if record.tokens_sent == 1:
            self.log.first_token(record)
        await self.body.send(self.writer.piece(piece))

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
        self.body.break_off(self.writer.malformed())
        return Verdict.CLOSE

    async def end_early(self) -> Verdict:
        await self.end_body(b"")
        return Verdict.BODY_ENDED

    async def stall(self) -> Verdict:
        return await forever()

    async def drip(self) -> Verdict:
        while True:
            await self.body.send(self.writer.keepalive())
            await asyncio.sleep(DRIP_SECONDS)

    async def send_malformed(self) -> Verdict:
        await self.body.send(self.writer.malformed())
        return Verdict.CONTINUE

    async def send_error(self) -> Verdict:
        await self.end_body(self.writer.failure())
        return Verdict.BODY_ENDED


def text_in(piece: Piece) -> str:
    return piece if isinstance(piece, str) else ""


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
