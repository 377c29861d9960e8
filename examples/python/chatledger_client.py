"""A client of Chatledger for asyncio: sessions, messages, live events, runs and their costs.

Needs httpx and websockets. One file, to be copied into your project.
"""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Literal, Self, TypedDict
from urllib.parse import quote
from uuid import uuid4

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

#: One event of a session's log: `seq`, `type`, `run_id`, `at` and what its type adds.
Event = dict[str, Any]

#: The events that end a run; each run has one of them.
TERMINAL = frozenset({"run.finished", "run.failed", "run.cancelled"})

FIRST_DELAY_S, LONGEST_DELAY_S = 0.25, 5.0
CALL_TRIES, OPEN_TIMEOUT_S = 4, 10.0
#: The server says something on a quiet stream every 20 s.
SILENCE_TIMEOUT_S = 45.0


class ChatledgerError(Exception):
    """The server refused. `code` is for programs, the text for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Unavailable(ChatledgerError):
    """The server cannot be reached, or cannot answer now: later it may."""


class Unauthorized(ChatledgerError):
    """The server wants an API key, or another one."""


class NotFound(ChatledgerError):
    """There is no such session or run for this caller."""


class Session(TypedDict):
    session_id: str
    title: str
    model: str
    epoch: str
    last_seq: int
    active_run_id: str | None


class Sent(TypedDict):
    run_id: str
    message_id: str
    seq: int


class Run(TypedDict):
    """What matters of a run. `cost` is a plain decimal, None when nothing used has a price."""

    run_id: str
    session_id: str
    status: Literal["queued", "running", "finished", "failed", "cancelled"]
    model: str
    usage: dict[str, Any]
    cost: str | None
    currency: str
    estimated: bool
    error: dict[str, str] | None


class Chatledger:
    """One server, as one user sees it. Everything raises ChatledgerError.

    Calls whose answer is lost are repeated: none of them does anything twice.
    """

    def __init__(self, url: str, *, api_key: str | None = None, patience_s: float = 60.0) -> None:
        """`patience_s` is how long `follow` tries to connect again before it gives up."""
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._socket_url = url.rstrip("/").replace("http", "ws", 1)
        self._patience_s = patience_s
        self._http = httpx.AsyncClient(base_url=url, headers=self._headers, timeout=20)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def models(self) -> list[dict[str, Any]]:
        """The models that can be used now: `model`, `price` and more."""
        return list((await self._call("GET", "/api/models"))["items"])

    async def create_session(
        self, session_id: str | None = None, *, title: str = "", model: str | None = None
    ) -> Session:
        """Create a session; with the id of one that the caller has already, give that one."""
        body = {"session_id": session_id or uuid4().hex, "title": title, "model": model}
        made: Session = await self._call("POST", "/api/sessions", json=body)
        return made

    def sessions(self) -> AsyncIterator[Session]:
        """All sessions, most recently used first."""
        return self._items("/api/sessions", "cursor")

    async def session(self, session_id: str) -> Session:
        found: Session = await self._call("GET", _path("sessions", session_id))
        return found

    def messages(self, session_id: str) -> AsyncIterator[dict[str, Any]]:
        """All messages that are complete, the newest first: `role`, `parts`, `seq` and more."""
        return self._items(f"{_path('sessions', session_id)}/messages", "before")

    async def send(
        self,
        session_id: str,
        text: str,
        *,
        model: str | None = None,
        if_running: Literal["reject", "enqueue", "interrupt", "rollback"] = "reject",
        idempotency_key: str | None = None,
    ) -> Sent:
        """Send a message. The same key again gives the same run again."""
        body = {"text": text, "model": model, "if_running": if_running}
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        path = f"{_path('sessions', session_id)}/messages"
        sent: Sent = await self._call("POST", path, json=body, headers=headers)
        return sent

    async def run(self, run_id: str) -> Run:
        """How a run stands, what it used and what it cost."""
        found: Run = await self._call("GET", _path("runs", run_id))
        return found

    async def cancel(self, run_id: str) -> Run:
        """Stop a run and keep its text. A run that has ended stays as it is."""
        found: Run = await self._call("POST", f"{_path('runs', run_id)}/cancel")
        return found

    async def follow(
        self,
        session_id: str,
        *,
        after: int | None = None,
        on_connection: Callable[[bool], None] = lambda is_open: None,
    ) -> AsyncGenerator[Event, None]:
        """Give a session's events after a seq, each once and in order, for ever.

        0 is the beginning, None is now. A broken connection is opened again where it broke;
        `on_connection` hears of both. A position that the server does not keep any more gives
        one event `stream.reset` with the newest `messages`.
        """
        session = await self.session(session_id)
        place = _Place(session["epoch"], session["last_seq"] if after is None else after)
        now = asyncio.get_running_loop().time
        failures, lost_at = 0, now()
        while now() - lost_at < self._patience_s:
            is_open = False
            async with aclosing(self._frames(session_id, place)) as frames:
                async for frame in frames:
                    if not is_open:
                        is_open, failures = True, 0
                        on_connection(True)
                    if place.passes(frame):
                        yield frame
            if is_open:
                lost_at = now()
            on_connection(False)
            await asyncio.sleep(_delay_s(failures))
            failures += 1
        raise Unavailable("server_away", "The server cannot be reached any more")

    async def _frames(self, session_id: str, place: "_Place") -> AsyncGenerator[Event, None]:
        """What comes over one connection: a socket, or SSE where no socket can be opened.

        A session that is gone or a wrong key closes the socket, and SSE then says why.
        """
        query = f"after={place.epoch}:{place.seq}&caught_up=1"
        for transport in (self._over_socket, self._over_sse):
            is_open = False
            async with aclosing(transport(session_id, query)) as frames:
                async for frame in frames:
                    is_open = True
                    yield frame
            if is_open:
                return

    async def _over_socket(self, session_id: str, query: str) -> AsyncGenerator[Event, None]:
        address = f"{self._socket_url}/ws/sessions/{quote(session_id, safe='')}?{query}"
        headers = self._headers
        opening = connect(address, additional_headers=headers, max_size=None, close_timeout=1)
        with suppress(OSError, WebSocketException):
            async with opening as socket:
                # Something comes at once; else the socket only looks open.
                yield json.loads(await asyncio.wait_for(socket.recv(), OPEN_TIMEOUT_S))
                while True:
                    yield json.loads(await socket.recv())

    async def _over_sse(self, session_id: str, query: str) -> AsyncGenerator[Event, None]:
        path = f"{_path('sessions', session_id)}/events?{query}"
        timeout = httpx.Timeout(OPEN_TIMEOUT_S, read=SILENCE_TIMEOUT_S)
        with suppress(httpx.TransportError, Unavailable):
            async with self._http.stream("GET", path, timeout=timeout) as answer:
                if answer.is_error:
                    await answer.aread()
                    raise _refusal(answer)
                async for event in _sse_events(answer.aiter_text()):
                    yield event

    async def _items(self, path: str, parameter: str) -> AsyncIterator[Any]:
        query = "?limit=100"
        while query:
            page = await self._call("GET", path + query)
            for item in page["items"]:
                yield item
            later = page[f"next_{parameter}"]
            query = "" if later is None else f"?limit=100&{parameter}={quote(str(later))}"

    async def _call(self, method: str, path: str, **sent: Any) -> Any:
        for failures in range(1, CALL_TRIES):
            with suppress(Unavailable):
                return await self._call_once(method, path, **sent)
            await asyncio.sleep(_delay_s(failures))
        return await self._call_once(method, path, **sent)

    async def _call_once(self, method: str, path: str, **sent: Any) -> Any:
        try:
            answer = await self._http.request(method, path, **sent)
        except httpx.TransportError as error:
            problem = f"No answer from {self._http.base_url}: {error}"
            raise Unavailable("server_away", problem) from error
        if answer.is_error:
            raise _refusal(answer)
        try:
            return answer.json()
        except ValueError as error:
            raise ChatledgerError("no_json", f"{answer.url} is no Chatledger") from error


@dataclass
class _Place:
    """Where a reader is in a session's log."""

    epoch: str
    seq: int

    def passes(self, frame: Event) -> bool:
        """Move to a frame; says whether it is an event that the reader has not had."""
        if frame["type"] == "stream.reset":
            self.epoch, self.seq = frame["epoch"], frame["after"]
            return True
        if frame["type"] == "caught_up" or frame["seq"] <= self.seq:
            return False
        self.seq = frame["seq"]
        return True


def _path(kind: str, name: str) -> str:
    return f"/api/{kind}/{quote(name, safe='')}"


def _delay_s(failures: int) -> float:
    """Half of it is drawn by lot, so that the clients of a restarted server spread out."""
    delay_s = float(min(FIRST_DELAY_S * 2**failures, LONGEST_DELAY_S))
    return random.uniform(delay_s / 2, delay_s)


_ERRORS = {401: Unauthorized, 404: NotFound, **dict.fromkeys((429, 502, 503, 504), Unavailable)}


def _refusal(answer: httpx.Response) -> ChatledgerError:
    try:
        problem = answer.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, LookupError, TypeError):
        code, detail = f"http_{answer.status_code}", f"The server answered {answer.status_code}"
    return _ERRORS.get(answer.status_code, ChatledgerError)(code, detail)


async def _sse_events(chunks: AsyncIterator[str]) -> AsyncIterator[Event]:
    # httpx would also end a line at characters that JSON may contain, such as U+2028.
    rest, name = "", ""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split("\n")
        for line in lines:
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data" and value.startswith("{"):
                yield {"type": name.replace("-", "."), **json.loads(value)}
