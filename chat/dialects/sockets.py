"""WebSocket: `/ws` and `/chat/ws`, `/stream`, `/ws/chunks`: messages in, one run told at a time."""

import asyncio
import logging
from contextlib import aclosing

from chat import asking, database, rate_limit, runs
from chat.asking import Asked
from chat.dialects import switches
from chat.dialects.speech import (
    AgentCoreSpeech,
    Asks,
    Misunderstood,
    OssaSpeech,
    Speech,
    Stops,
    TextSpeech,
)
from chat.models import ChatSession
from chat.sockets import MAX_WAITING, UNKNOWN_SESSION, Socket
from chat.wire.frames import Encoder, Frame

logger = logging.getLogger(__name__)


class DialectConsumer(Socket):
    """One socket: a task carries out what the client wants, another one tells the answers."""

    speech_class: type[Speech] = OssaSpeech
    session: ChatSession

    def __init__(self) -> None:
        super().__init__()
        self.speech = self.speech_class()
        self._said: asyncio.Queue[str] = asyncio.Queue(MAX_WAITING)
        self._asked: asyncio.Queue[tuple[Asked, Encoder]] = asyncio.Queue()

    async def connect(self) -> None:
        if not switches.is_on("websocket"):
            await self.close(UNKNOWN_SESSION)  # before it is accepted: HTTP 404
            return
        await super().connect()

    async def begin(self) -> None:
        if self.asked_for("format") == "text":
            self.speech = TextSpeech()
        self.session = await asking.session_for(self.principal, self.asked_for("session_id"))
        encoder = self.speech.encoder()
        left = await database.read(asking.join, self.session, encoder)
        await self._say(self.speech.greet(self.session.session_id))
        if left:
            self._asked.put_nowait((left, encoder))
        self.spawn(self._tell_all())
        self.spawn(self._carry_out_all())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not hasattr(self, "session"):
            return
        if text_data is None:
            await self._refuse_invalid("Messages are sent as text frames")
            return
        try:
            self._said.put_nowait(text_data)
        except asyncio.QueueFull:
            await self._refuse_invalid("Wait for the answers first")

    async def _carry_out_all(self) -> None:
        """Do what is wanted in the order it came: a cancel right behind its message counts."""
        while True:
            text = await self._said.get()
            try:
                await self._carry_out(self.speech.understand(text))
            except Misunderstood as error:
                await self._refuse_invalid(str(error))
            except (*asking.REFUSED, rate_limit.TooOften) as error:
                await self._say(self.speech.refuse(str(error)))
            except database.Unavailable:
                logger.exception("A message could not be stored")
                await self._say(self.speech.refuse("The message could not be stored"))
            except Exception:
                logger.exception("A message could not be answered")
                await self._say(self.speech.refuse("Something went wrong on our side"))

    async def _carry_out(self, wish: Asks | Stops) -> None:
        if isinstance(wish, Asks):
            await self.take_turn()
            session = await self._session_of(wish)
            asked = await asking.ask(self.principal, session, wish.text, if_running="interrupt")
            self._asked.put_nowait((asked, wish.encoder))
            return
        if wish.said:
            await self._say([wish.said])
        for run in await database.read(runs.active_in, self.session):
            await runs.cancel(run)

    async def _session_of(self, wish: Asks) -> ChatSession:
        if wish.session_id and wish.session_id != self.session.session_id:
            self.session = await asking.session_for(self.principal, wish.session_id)
        return self.session

    async def _tell_all(self) -> None:
        while True:
            asked, encoder = await self._asked.get()
            telling = asking.tell(asked, encoder)
            async with aclosing(telling):  # type: ignore[type-var]
                async for told in telling:
                    if told:
                        await self._say([told.frame])

    async def _say(self, frames: list[Frame]) -> None:
        for frame in frames:
            await self.send(frame.text)

    async def _refuse_invalid(self, message: str) -> None:
        if await self.takes_more_nonsense():
            await self._say(self.speech.refuse(message))


class AgentCoreConsumer(DialectConsumer):
    """`/stream`."""

    speech_class = AgentCoreSpeech


class TextConsumer(DialectConsumer):
    """`/ws/chunks`."""

    speech_class = TextSpeech
