"""WebSocket: `/ws/sessions/{session_id}?after=N`, the native dialect both ways."""

import asyncio
import logging
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qs

from channels.generic.websocket import AsyncWebsocketConsumer

from chat import commands, database, hub, positions, principals, runs, sessions
from chat.agent import catalog
from chat.agent.errors import AgentError
from chat.commands import CancelRun, Command, InvalidCommand, SendMessage
from chat.models import ChatSession
from chat.positions import Start
from chat.wire import native

logger = logging.getLogger(__name__)

NOT_ALLOWED, UNKNOWN_SESSION, INVALID_REQUEST, SERVER_ERROR = 4401, 4404, 4400, 1011
MAX_COMMANDS_WAITING = 20


class SessionConsumer(AsyncWebsocketConsumer):
    """One socket: a task follows the session, another one carries commands out."""

    # The hub has the process's one channel; a socket must open with Redis down.
    channel_layer_alias = None
    session: ChatSession

    def __init__(self) -> None:
        super().__init__()
        self._tasks: set[asyncio.Task[None]] = set()
        self._commands: asyncio.Queue[Command] = asyncio.Queue(MAX_COMMANDS_WAITING)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Here and not in disconnect(), which is not called when the server drops the socket.
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def connect(self) -> None:
        # A browser is shown no close code before the socket was accepted.
        await self.accept()
        principal = principals.of_user(self.scope.get("user"))
        if principal is None:
            await self.close(NOT_ALLOWED, "Log in first")
            return
        try:
            after = _after(self.scope)
            session_id = self.scope["url_route"]["kwargs"]["session_id"]
            self.session = await database.read(sessions.get_for, principal, session_id)
        except positions.InvalidPosition as error:
            await self.close(INVALID_REQUEST, str(error))
        except sessions.UnknownSession as error:
            await self.close(UNKNOWN_SESSION, str(error))
        else:
            self._spawn(self._follow(positions.start(self.session, wanted=after)))
            self._spawn(self._carry_out_all())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        # Only read here: what takes time is done by the task that carries commands out.
        if not hasattr(self, "session"):
            return
        if text_data is None:
            await self._refuse("binary_frame", "Commands are sent as text frames")
            return
        try:
            self._commands.put_nowait(commands.parse(text_data))
        except InvalidCommand as error:
            await self._refuse(error.code, str(error))
        except asyncio.QueueFull:
            await self._refuse("too_many_commands", "Wait for the answers first")

    async def _carry_out_all(self) -> None:
        """Carry commands out in the order they came: a cancel right behind its message counts."""
        while True:
            await self._carry_out(await self._commands.get())

    async def _follow(self, start: Start) -> None:
        following = hub.follow(
            session_pk=self.session.pk, session_id=self.session.session_id, after=start.after
        )
        try:
            if start.reset:
                await self.send(native.encode_reset(reason=start.reset, after=start.after))
            async with aclosing(following):  # type: ignore[type-var]
                async for envelopes in following:
                    for envelope in envelopes:
                        await self.send(native.encode(envelope))
        except Exception:
            logger.exception("A socket cannot be served any more")
            await self.close(SERVER_ERROR, "Connect again")

    async def _carry_out(self, command: Command) -> None:
        try:
            if isinstance(command, SendMessage):
                await _send_message(self.session, command)
            else:
                await _cancel_run(self.session, command)
        except (runs.Refused, sessions.UnknownSession, AgentError) as error:
            await self._refuse(error.code, str(error))
        except database.Unavailable:
            logger.exception("A command could not be stored")
            await self._refuse("storage", "The message could not be stored. Send it again.")
        except Exception:
            logger.exception("A command failed")
            await self._refuse("internal", "Something went wrong on our side.")

    async def _refuse(self, code: str, detail: str) -> None:
        await self.send(native.encode_refusal(code=code, detail=detail))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _send_message(session: ChatSession, command: SendMessage) -> None:
    model = catalog.choose(command.model, session.model)
    await runs.start(session, command, model=model)


async def _cancel_run(session: ChatSession, command: CancelRun) -> None:
    if command.run_id is None:
        wanted = await database.read(runs.active_in, session)
    else:
        wanted = [await database.read(runs.get_in, session, command.run_id)]
    for run in wanted:
        await runs.cancel(run)


def _after(scope: Any) -> int | None:
    """The position that the client asks for: None for now. Raises ValueError."""
    values = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("after")
    return positions.parse(values[-1]) if values else None
