"""The worker's side of a run: drive the agent, commit what it says, end the run properly.

Whatever happens to the agent, every part that was begun is ended, the text that was shown is
kept, the tokens that were used are charged, and there is exactly one terminal event.
"""

import asyncio
import logging
import uuid
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal, get_args

from django.db.models.functions import Now

from chat import artifacts, counters, database, endings, events, leases, preparation
from chat.agent import agent, catalog, pieces
from chat.agent.artifacts import Artifact
from chat.agent.errors import AgentError
from chat.agent.pieces import Piece
from chat.committer import Committer, LeaseLost, RunBuffer, StorageUnavailable
from chat.draft import Draft
from chat.events import CancelReason, Event, StopReason
from chat.leases import Claim
from chat.metering import Meter
from chat.models import Run
from chat.parts import ArtifactRef
from chat.preparation import Prepared
from chat.stream_log import StreamLog
from costs.ledger import Payer

logger = logging.getLogger(__name__)

#: Why a worker stops a run: somebody cancelled it, the worker is shutting down, or the lease is
#: somebody else's.
Stop = CancelReason | Literal["shutdown", "lease_lost"]
STOPS = (*get_args(CancelReason), "shutdown", "lease_lost")
_STOP_REASONS: dict[str, StopReason] = {"length": "length", "content_filter": "content_filter"}
INTERNAL_ERROR = "Something went wrong on our side. The text so far has been kept."


@dataclass(slots=True, kw_only=True, eq=False)
class Execution:
    """One attempt of a run in this process."""

    claim: Claim
    buffer: RunBuffer
    worker: str
    task: asyncio.Task[None] | None = None
    _draft: Draft = field(init=False)
    _stream: StreamLog = field(init=False)
    _meter: Meter | None = None
    _stop: Stop | None = None
    _has_effects: bool = False
    _has_called_tools: bool = False
    _is_told: bool = False
    _is_ending: bool = False

    def __post_init__(self) -> None:
        self._draft = Draft(message_id=str(uuid.uuid4()))
        self._stream = StreamLog(place=self.claim.place)

    def stop(self, reason: Stop) -> None:
        """End the attempt as soon as possible; the first reason counts, and none after its end."""
        if self._stop is None and self.task is not None and not self._is_ending:
            self._stop = reason
            self.task.cancel()

    async def run(self) -> None:
        """Execute the attempt to its end. Raises nothing but the cancellation of others."""
        self.task = asyncio.current_task()
        try:
            await self._answer()
        except asyncio.CancelledError:
            if self._stop is None:
                raise
            await self._stopped(self._stop)
        except LeaseLost:
            logger.info("Run %s is somebody else's now", self.claim.place.run_id)
        except (StorageUnavailable, *database.Unavailable):
            await self._fail_unstored()
        except AgentError as error:
            # Only what kind of error it was: a provider may repeat the key in its words.
            cause = type(error.__cause__ or error).__name__
            logger.warning("Run %s failed: %s (%s)", self.claim.place.run_id, error.code, cause)
            await self._end(_failed(error.code, str(error)), stop_reason="failed")
        except Exception:
            logger.exception("Run %s failed", self.claim.place.run_id)
            await self._end(_failed("internal", INTERNAL_ERROR), stop_reason="failed")

    async def _answer(self) -> None:
        prepared = await database.patiently(preparation.prepare, self.claim)
        if prepared.cancelled:
            # Asked for before this worker could hear of it.
            self._stop = prepared.cancelled
            await self._stopped(prepared.cancelled)
            return
        self._meter = self._make_meter(prepared)
        if self.claim.place.attempt > 1:
            self.buffer.add(events.AttemptStarted(replaces=self.claim.place.attempt - 1))
        self.buffer.add(events.RunStarted(model=self.claim.model))
        self.buffer.add(events.MessageStarted(message_id=self._draft.message_id, role="assistant"))
        self._is_told = True
        self._stream.started(model=self.claim.model)
        said = agent.answer(
            model=self.claim.model,
            turns=prepared.turns,
            context=prepared.context,
            options=self.claim.options,
            meter=self._meter,
            stored=self.buffer.flush,
        )
        async with aclosing(said):  # type: ignore[type-var]
            async for piece in said:
                for event in self._events(piece):
                    await self.buffer.put(event)
        reason = _STOP_REASONS.get(self._meter.finish_reason, "stop")
        await self._end(events.RunFinished(stop_reason=reason), stop_reason=reason)

    def _make_meter(self, prepared: Prepared) -> Meter:
        provider, name = catalog.resolve(self.claim.model)
        place = self.claim.place
        return Meter(
            buffer=self.buffer,
            payer=Payer(
                run_id=place.run_id,
                attempt=place.attempt,
                session_key=self.claim.ledger_key,
                owner_key=self.claim.owner_key,
                api_key=self.claim.api_key,
            ),
            provider=provider.name,
            model=name,
            tariff=prepared.tariff,
            carried=prepared.carried,
        )

    def _events(self, piece: Piece) -> Iterator[Event]:
        match piece:
            case pieces.Text() | pieces.Reasoning() | pieces.ToolCall() | pieces.ToolArguments():
                yield from self._said(piece)
            case pieces.ToolResult():
                yield from self._draft.tool_result(
                    tool_call_id=piece.tool_call_id,
                    content=piece.content,
                    is_error=piece.is_error,
                    artifacts=tuple(map(self._keep, piece.artifacts)),
                )
            case pieces.StepCompleted():
                yield from self._step(piece)
            case pieces.Progress():
                yield events.Progress(step=piece.step, total=piece.total, message=piece.message)
            case pieces.ToolProgress():
                yield events.ToolProgress(
                    message_id=self._draft.message_id, name=piece.name, text=piece.text
                )
            case pieces.Custom():
                yield events.Custom(name=piece.name, data=piece.data)

    def _said(
        self, piece: pieces.Text | pieces.Reasoning | pieces.ToolCall | pieces.ToolArguments
    ) -> Iterator[Event]:
        self._note_effects()
        if isinstance(piece, pieces.Text):
            self._stream.count(piece.delta)
        if isinstance(piece, pieces.ToolCall):
            self._has_called_tools = True
            yield from self._draft.tool_call(tool_call_id=piece.tool_call_id, name=piece.name)
            return
        add = {
            pieces.Text: self._draft.text,
            pieces.Reasoning: self._draft.reasoning,
            pieces.ToolArguments: self._draft.tool_arguments,
        }[type(piece)]
        meter = self._meter
        tokens, cost = (meter.completion_tokens, meter.cost) if meter else (0, None)
        yield from add(piece.delta, tokens=tokens, cost=cost)

    def _keep(self, made: Artifact) -> ArtifactRef:
        """Store what a tool made with the event that will tell of it."""
        place = self.claim.place
        self.buffer.also(lambda _: artifacts.store(place, made))
        return artifacts.refer(place, made)

    def _step(self, piece: pieces.StepCompleted) -> Iterator[Event]:
        yield from self._draft.close()
        if self._meter:
            self._meter.tell_ended()
        yield events.StepCompleted(node=piece.node)

    def _note_effects(self) -> None:
        """From the first output on, the run may not be repeated behind the client's back."""
        if self._has_effects:
            return
        self._has_effects = True
        self._stream.first_chunk()
        run_id = self.claim.place.run_id
        self.buffer.also(
            lambda _: Run.objects.filter(pk=run_id).update(has_effects=True, first_token_at=Now())
        )

    async def _stopped(self, reason: Stop) -> None:
        if reason == "lease_lost":
            return
        if reason == "shutdown":
            await self._hand_back()
        else:
            await self._end(
                events.RunCancelled.model_validate({"reason": reason}), stop_reason="cancelled"
            )

    async def _hand_back(self) -> None:
        """Leave the run to another worker; one that has called tools is ended.

        What this attempt has said is said to be replaced by the next one.
        """
        if self._has_called_tools or self.claim.place.attempt == Run.MAX_ATTEMPTS:
            error = _failed("interrupted", "The service was restarted in the middle of the answer.")
            await self._end(error, stop_reason="failed")
            return
        for event in self._draft.finish():
            self.buffer.add(event)
        self._tell_costs()
        self.buffer.also(lambda _: endings.hand_back(self.claim.place.run_id))
        await self._flush()
        self._stream.ended("handed_over", self._meter.total() if self._meter else None)

    async def _end(self, terminal: events.Terminal, *, stop_reason: StopReason) -> None:
        """Close everything that is open and commit the end of the run in one transaction."""
        run_id = self.claim.place.run_id
        self._is_ending = True
        if self._is_told:
            for event in self._draft.finish():
                self.buffer.add(event)
            self._tell_costs()
            self.buffer.add(
                events.MessageCompleted(
                    message_id=self._draft.message_id,
                    role="assistant",
                    parts=self._draft.parts,
                    stop_reason=stop_reason,
                ),
                lambda stored: endings.store_message(run_id, stored),
            )
        chunks = self._stream.total_chunks
        self.buffer.add(
            terminal, lambda _: endings.end(Run(pk=run_id), terminal, total_chunks=chunks)
        )
        await self._flush()
        self._stream.ended(terminal.type, self._meter.total() if self._meter else None)

    def _tell_costs(self) -> None:
        if self._meter:
            self._meter.tell_ended()

    async def _flush(self) -> None:
        try:
            # A second cancellation must not interrupt the writing of the end.
            await asyncio.shield(asyncio.ensure_future(self.buffer.flush()))
            if self._meter:
                await self._meter.settle()
        except LeaseLost:
            logger.info("Run %s is somebody else's now", self.claim.place.run_id)
        except StorageUnavailable:
            logger.warning("The end of run %s waits for the database", self.claim.place.run_id)
        except Exception:
            # The reaper ends it: the lease is no longer renewed.
            logger.exception("The end of run %s cannot be stored", self.claim.place.run_id)

    async def _fail_unstored(self) -> None:
        """The database is away for too long: the run ends as failed as soon as it is back."""
        logger.error("Run %s: the database takes nothing", self.claim.place.run_id)
        self.buffer.reopen()
        error = _failed("storage", "The answer could not be stored, so it was stopped.")
        await self._end(error, stop_reason="failed")


async def execute(
    run_id: uuid.UUID, *, committer: Committer, worker: str, running: dict[uuid.UUID, Execution]
) -> bool:
    """Claim a run and execute it; False when somebody else has it or it has ended."""
    claim = await database.write(leases.claim, run_id, worker=worker)
    if claim is None:
        return False
    execution = Execution(claim=claim, buffer=committer.open(claim.place), worker=worker)
    running[run_id] = execution
    try:
        with counters.during("executing_runs"):
            await execution.run()
    finally:
        running.pop(run_id, None)
    return True


def _failed(code: str, message: str) -> events.RunFailed:
    return events.RunFailed(code=code, message=message)
