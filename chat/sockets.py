"""What every WebSocket of ours does, whatever is spoken on it."""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any
from urllib.parse import parse_qs

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from chat import api_keys, counters, database, positions, principals, rate_limit, reading, sessions
from chat.principals import Login, Principal

NOT_ALLOWED, UNKNOWN_SESSION, INVALID_REQUEST, TOO_MANY, SERVER_ERROR = 4401, 4404, 4400, 4429, 1011
MAX_WAITING = 20
#: A client that sends so much nonsense in a minute is broken; going on would help nobody.
MAX_INVALID_PER_MINUTE = 10


INVALID = (positions.InvalidPosition, sessions.InvalidSessionId, reading.InvalidBatch)


class Socket(AsyncWebsocketConsumer):
    """A socket with tasks that end when it does."""

    # The hub has the process's one channel; a socket must open with Redis down.
    channel_layer_alias = None
    principal: Principal

    def __init__(self) -> None:
        super().__init__()
        self._tasks: set[asyncio.Task[None]] = set()
        self._invalid_at: deque[float] = deque(maxlen=MAX_INVALID_PER_MINUTE)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            with counters.during("websockets"):
                await super().__call__(scope, receive, send)
        finally:
            # Here and not in disconnect(), which is not called when the server drops the socket.
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something until the socket ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def connect(self) -> None:
        # A browser is shown no close code before the socket was accepted.
        await self.accept()
        login = await self._login()
        if login is None:
            await self.close(NOT_ALLOWED, "Sign in first")
            return
        self.principal = login.principal
        try:
            await self.take_turn()
            await self.begin()
        except INVALID as error:
            await self.close(INVALID_REQUEST, str(error))
        except sessions.UnknownSession as error:
            await self.close(UNKNOWN_SESSION, str(error))
        except (reading.TooManyConnections, rate_limit.TooOften) as error:
            await self.close(TOO_MANY, str(error))
        else:
            self.spawn(self._leave_when_logged_out(login))

    async def begin(self) -> None:
        """Start what the socket is for. Raises what `connect` closes it for."""
        raise NotImplementedError

    def asked_for(self, name: str) -> str | None:
        """A parameter of the query that the socket was opened with; the last of several."""
        query = parse_qs(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        return query[name][-1] if name in query else None

    async def _login(self) -> Login | None:
        """Find out who opened the socket: by a key in the headers or `?token=`, or by a cookie."""
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in self.scope["headers"]
        }
        key = api_keys.given_in(headers) or self.asked_for("token")
        if key and settings.AUTH == "required":
            return await database.read(api_keys.login, key)
        principal = principals.of_user(self.scope.get("user"))
        return Login(principal, self.scope["session"].session_key) if principal else None

    async def take_turn(self) -> None:
        """Count something that the client wants. Raises rate_limit.TooOften."""
        host, _ = self.scope.get("client") or ("", 0)
        await rate_limit.take(self.principal, address=host)

    async def _leave_when_logged_out(self, login: Login) -> None:
        """Close the socket when the login that it was opened with does not stand any more."""
        await reading.logged_out(login)
        await self.close(NOT_ALLOWED, "Sign in again")

    async def takes_more_nonsense(self) -> bool:
        """Count something that no client of ours would send; closes the socket after too much."""
        now, oldest = time.monotonic(), next(iter(self._invalid_at), None)
        if len(self._invalid_at) == MAX_INVALID_PER_MINUTE and oldest and now - oldest < 60:
            await self.close(TOO_MANY, "Too much that is no command")
            return False
        self._invalid_at.append(now)
        return True
