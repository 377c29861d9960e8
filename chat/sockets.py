"""What every WebSocket of ours does, whatever is spoken on it."""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any
from urllib.parse import parse_qs

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from chat import api_keys, database, principals, rate_limit, reading
from chat.principals import Login

NOT_ALLOWED, UNKNOWN_SESSION, INVALID_REQUEST, TOO_MANY, SERVER_ERROR = 4401, 4404, 4400, 4429, 1011
MAX_WAITING = 20
#: A client that sends so much nonsense in a minute is broken; going on would help nobody.
MAX_INVALID_PER_MINUTE = 10


class Socket(AsyncWebsocketConsumer):
    """A socket with tasks that end when it does."""

    # The hub has the process's one channel; a socket must open with Redis down.
    channel_layer_alias = None

    def __init__(self) -> None:
        super().__init__()
        self._tasks: set[asyncio.Task[None]] = set()
        self._invalid_at: deque[float] = deque(maxlen=MAX_INVALID_PER_MINUTE)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
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

    async def login(self) -> Login | None:
        """Find out who opened the socket: by a key in the headers or `?token=`, or by a cookie."""
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in self.scope["headers"]
        }
        query = parse_qs(self.scope["query_string"].decode("latin-1"))
        key = api_keys.given_in(headers) or query.get("token", [None])[-1]
        if key and settings.AUTH == "required":
            return await database.read(api_keys.login, key)
        principal = principals.of_user(self.scope.get("user"))
        return Login(principal, self.scope["session"].session_key) if principal else None

    async def take_turn(self, login: Login) -> None:
        """Count something that the client wants. Raises rate_limit.TooOften."""
        host, _ = self.scope.get("client") or ("", 0)
        await rate_limit.take(login.principal, address=host)

    async def leave_when_logged_out(self, login: Login) -> None:
        """Close the socket when the login that it was opened with does not stand any more."""
        await reading.logged_out(login)
        await self.close(NOT_ALLOWED, "Log in again")

    async def takes_more_nonsense(self) -> bool:
        """Count something that no client of ours would send; closes the socket after too much."""
        now, oldest = time.monotonic(), next(iter(self._invalid_at), None)
        if len(self._invalid_at) == MAX_INVALID_PER_MINUTE and oldest and now - oldest < 60:
            await self.close(TOO_MANY, "Too much that is no command")
            return False
        self._invalid_at.append(now)
        return True
