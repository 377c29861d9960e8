"""A language model provider for tests: the APIs of OpenAI, Anthropic and Gemini on loopback.

Owns the server: as an asynchronous context (`async with FakeProvider() as fake`), in a thread
of its own (`with FakeProvider.in_thread() as fake`) or as a process
(`python -m tests.fakes.provider --port 0 --port-file PATH --log PATH`). What it answers
is said by `[[fake ...]]` in the last user message; see `tests.fakes.directives`.
"""

import argparse
import asyncio
import json
import logging
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.fakes.answers import Answer
from tests.fakes.api import Api, RefusedRequestError
from tests.fakes.apis import find_api
from tests.fakes.blocks import DirectiveError
from tests.fakes.connection import Connection, HttpRequest, WatchedProtocol
from tests.fakes.conversation import Question
from tests.fakes.directives import Directives, Fault, directives_in
from tests.fakes.exchange import Exchange
from tests.fakes.openai_chat import error_body, model_list
from tests.fakes.records import RequestLog, RequestRecord, read_log
from tests.fakes.wire import compact

__all__ = ["FakeProvider", "RequestRecord", "read_log"]

Json = dict[str, Any]
BACKLOG = 1024
logger = logging.getLogger(__name__)


class FakeProvider:
    """The server and everything it remembers."""

    def __init__(self, port: int = 0, log_path: Path | None = None) -> None:
        self.port = port
        self.log = RequestLog(log_path)
        self.fault_uses: Counter[str] = Counter()
        self.connections: set[Connection] = set()
        self.server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        """The address that clients of OpenAI are given."""
        return f"{self.root_url}/v1"

    @property
    def root_url(self) -> str:
        """The address that clients of Anthropic and Gemini are given; has `/log`, `/reset`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[RequestRecord]:
        return self.log.records

    def reset(self) -> None:
        """Forget all records and how often each fault was applied."""
        self.log.clear()
        self.fault_uses.clear()

    async def __aenter__(self) -> "FakeProvider":
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            lambda: WatchedProtocol(self.serve), "127.0.0.1", self.port, backlog=BACKLOG
        )
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.server is not None:
            self.server.close()
        tasks = [item.task for item in self.connections if item.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Transports close one turn of the loop later.
        await asyncio.sleep(0)
        self.log.close()

    @classmethod
    @contextmanager
    def in_thread(cls, log_path: Path | None = None) -> Iterator["FakeProvider"]:
        """The provider on an event loop of its own, for callers that have none."""
        fake, ready = cls(log_path=log_path), threading.Event()
        loop, stop = asyncio.new_event_loop(), asyncio.Event()

        async def serve_until_stopped() -> None:
            async with fake:
                ready.set()
                await stop.wait()

        thread = threading.Thread(target=run_loop, args=(loop, serve_until_stopped()))
        thread.start()
        ready.wait()
        try:
            yield fake
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()

    async def serve(self, connection: Connection) -> None:
        """All requests of one connection, until either side ends it."""
        self.connections.add(connection)
        try:
            # A cancelled task means that the client hung up or that the server is closing.
            with suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
                while await self.serve_next(connection):
                    pass
                connection.writer.close()
        except Exception:
            logger.exception("the fake provider failed")
        finally:
            self.connections.discard(connection)
            if not connection.writer.is_closing():
                connection.abort()

    async def serve_next(self, connection: Connection) -> bool:
        """One request; returns whether the connection stays open."""
        request = await connection.read_request()
        if "transfer-encoding" in request.headers:
            connection.respond(411, error_body(411))
            return False
        route = (request.method, request.path)
        api = find_api(request.path)
        if api is not None and request.method == "POST":
            return await self.answer(connection, request, api) and request.keep_alive
        if route == ("GET", "/v1/models"):
            connection.respond(200, model_list())
        elif route == ("GET", "/log"):
            connection.respond(200, compact([record.as_json() for record in self.requests]))
        elif route == ("POST", "/reset"):
            self.reset()
            connection.respond(200, b"{}")
        else:
            connection.respond(404, error_body(404, f"Invalid URL ({' '.join(route)})"))
        return request.keep_alive

    async def answer(self, connection: Connection, request: HttpRequest, api: Api) -> bool:
        """Answer what a model is asked; the record ends whatever happens."""
        asked, problem = parsed(request.body)
        record = self.log.open_record(request.path, asked, request.headers)
        try:
            if problem is not None:
                raise RefusedRequestError(problem)
            question = api.read(request, asked)
            record.model, record.user_text = question.model, question.user_text
            answer = Answer(record.number, directives_for(question), question)
            fault = self.fault_for(answer.directives)
            return await Exchange(connection, self.log, record, api, answer, fault).run()
        except (RefusedRequestError, DirectiveError) as error:
            record.status = error.status if isinstance(error, RefusedRequestError) else 400
            self.log.end(record, "rejected")
            headers = api.headers(record.number, record.status)
            connection.respond(record.status, api.error(record.status, str(error)), headers)
            return True
        finally:
            if record.outcome is None:
                self.log.end(record, "client_closed" if connection.client_left else "server_closed")

    def fault_for(self, directives: Directives) -> Fault | None:
        """The fault of a block, unless it was applied as often as the block allows."""
        if directives.fault is None or directives.fault_times is None:
            return directives.fault
        self.fault_uses[directives.block] += 1
        used_up = self.fault_uses[directives.block] > directives.fault_times
        return None if used_up else directives.fault


def parsed(body: bytes) -> tuple[Json, str | None]:
    """The JSON object of a request, and what is wrong with it."""
    try:
        asked = json.loads(body)
    except ValueError:
        return {}, "We could not parse the JSON body of your request."
    if not isinstance(asked, dict):
        return {}, "The body of your request is not a JSON object."
    return asked, None


def directives_for(question: Question) -> Directives:
    """The directives of a question, once it is known that they fit it."""
    directives = directives_in(question.user_text)
    fault = directives.fault
    if fault is not None and fault.within_stream and not question.streamed:
        raise DirectiveError(f"{fault.label} needs a request with stream: true")
    return directives


def run_loop(loop: asyncio.AbstractEventLoop, work: Any) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


async def serve_process(port: int, port_file: Path | None, log_path: Path | None) -> None:
    """Serve until the process is told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with FakeProvider(port, log_path) as fake:
        if port_file is not None:
            # Renamed into place, so that nobody reads a file that is still empty.
            unfinished = port_file.with_name(port_file.name + ".new")
            unfinished.write_text(f"{fake.port}\n", encoding="utf-8")
            unfinished.rename(port_file)
        print(fake.port, flush=True)
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file", type=Path)
    parser.add_argument("--log", type=Path)
    options = parser.parse_args()
    asyncio.run(serve_process(options.port, options.port_file, options.log))


if __name__ == "__main__":
    main()
