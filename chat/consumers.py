"""WebSocket: `/ws/sessions/{session_id}?after=N`, the native dialect both ways."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress

from chat import (
    artifacts,
    commands,
    database,
    event_log,
    positions,
    rate_limit,
    reading,
    runs,
    sessions,
)
from chat.agent import catalog
from chat.agent.errors import AgentError
from chat.commands import CancelRun, Command, InvalidCommand, SendMessage
from chat.events import Envelope, ToolResult
from chat.models import ChatSession
from chat.parts import ArtifactRef
from chat.principals import Principal
from chat.reading import Reading
from chat.sockets import MAX_WAITING, SERVER_ERROR, UNKNOWN_SESSION, Socket
from chat.wire import native

YES = ("1", "true")

logger = logging.getLogger(__name__)


class SessionConsumer(Socket):
    """One socket: a task follows the session, another one carries commands out."""

    session: ChatSession

    def __init__(self) -> None:
        super().__init__()
        self._commands: asyncio.Queue[Command] = asyncio.Queue(MAX_WAITING)

    async def begin(self) -> None:
        begun = await database.read(
            _begin,
            self.principal,
            self.scope["url_route"]["kwargs"]["session_id"],
            after=self.asked_for("after"),
            tells_caught_up=self.asked_for("caught_up") in YES,
            batch_s=reading.batch_s(self.asked_for("batch_ms")),
        )
        self.session = begun.session
        self._sends_artifacts = self.asked_for("binary") in YES
        self.spawn(self._follow(begun))
        self.spawn(self._carry_out_all())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        # Only read here: what takes time is done by the task that carries commands out.
        if not hasattr(self, "session"):
            return
        if text_data is None:
            await self._refuse_invalid("binary_frame", "Commands are sent as text frames")
            return
        try:
            self._commands.put_nowait(commands.parse(text_data))
        except InvalidCommand as error:
            await self._refuse_invalid(error.code, str(error))
        except asyncio.QueueFull:
            await self._refuse("too_many_commands", "Wait for the answers first")

    async def _carry_out_all(self) -> None:
        """Carry commands out in the order they came: a cancel right behind its message counts."""
        while True:
            await self._carry_out(await self._commands.get())

    async def _follow(self, begun: Reading) -> None:
        following, seq = begun.follow(), begun.after
        try:
            if begun.snapshot:
                await self.send(native.encode_reset(begun.snapshot))
            async with aclosing(following):  # type: ignore[type-var]
                async for envelopes in following:
                    seq = envelopes[-1].seq if envelopes else seq
                    await self._tell(envelopes, in_batches=begun.batch_s > 0)
                    if begun.tells_caught_up and not envelopes:
                        epoch = begun.session.epoch
                        await self.send(native.encode_caught_up(epoch=epoch, seq=seq))
        except event_log.SessionGone as error:
            await self.close(UNKNOWN_SESSION, str(error))
        except event_log.PositionLost:
            await self.close(SERVER_ERROR, "Connect again")
        except Exception:
            logger.exception("A socket cannot be served any more")
            await self.close(SERVER_ERROR, "Connect again")

    async def _tell(self, envelopes: Sequence[Envelope], *, in_batches: bool) -> None:
        for frame in native.frames(envelopes, in_batches=in_batches):
            await self.send(frame)
        if self._sends_artifacts:
            await self._send_artifacts(envelopes)

    async def _send_artifacts(self, envelopes: Sequence[Envelope]) -> None:
        """Send what tools made: each is announced, and then comes as a binary frame."""
        for ref in _artifacts_in(envelopes):
            with suppress(artifacts.UnknownArtifact):
                found = await database.read(artifacts.get_in, self.session, ref.artifact_id)
                await self.send(native.encode_artifact(ref))
                await self.send(bytes_data=bytes(found.content))

    async def _carry_out(self, command: Command) -> None:
        try:
            if isinstance(command, SendMessage):
                await self.take_turn()
                await _send_message(self.session, command, self.principal)
            else:
                await _cancel_run(self.session, command)
        except (runs.Refused, sessions.UnknownSession, AgentError) as error:
            await self._refuse(error.code, str(error))
        except rate_limit.TooOften as error:
            await self._refuse("rate_limited", str(error))
        except database.Unavailable:
            logger.exception("A command could not be stored")
            await self._refuse("storage", "The message could not be stored. Send it again.")
        except Exception:
            logger.exception("A command failed")
            await self._refuse("internal", "Something went wrong on our side.")

    async def _refuse_invalid(self, code: str, detail: str) -> None:
        if await self.takes_more_nonsense():
            await self._refuse(code, detail)

    async def _refuse(self, code: str, detail: str) -> None:
        await self.send(native.encode_refusal(code=code, detail=detail))


def _artifacts_in(envelopes: Sequence[Envelope]) -> Iterator[ArtifactRef]:
    for envelope in envelopes:
        if envelope.type == "tool.result" and isinstance(envelope.event, ToolResult):
            yield from envelope.event.artifacts


async def _send_message(session: ChatSession, command: SendMessage, principal: Principal) -> None:
    model = catalog.choose(command.model, session.model)
    await runs.start(session, command, model=model, api_key=principal.api_key)


async def _cancel_run(session: ChatSession, command: CancelRun) -> None:
    if command.run_id is None:
        wanted = await database.read(runs.active_in, session)
    else:
        wanted = [await database.read(runs.get_in, session, command.run_id)]
    for run in wanted:
        await runs.cancel(run)


def _begin(
    principal: Principal,
    session_id: str,
    *,
    after: str | None,
    tells_caught_up: bool,
    batch_s: float,
) -> Reading:
    """Raises InvalidPosition, UnknownSession or TooManyConnections."""
    wanted = None if after is None else positions.parse(after)
    session = sessions.get_for(principal, session_id)
    return reading.begin(session, wanted=wanted, tells_caught_up=tells_caught_up, batch_s=batch_s)
