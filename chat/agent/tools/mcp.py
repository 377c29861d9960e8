"""The tools of MCP servers, through langchain-mcp-adapters.

Each call is a session of its own, and a command is started for each: nothing stays open between
calls, and a run that is stopped leaves nothing behind.
"""

import asyncio
import logging
import re
import shlex
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache

import httpx
from langchain_core.tools import BaseTool, ToolException
from langchain_mcp_adapters.interceptors import MCPToolCallRequest, MCPToolCallResult
from langchain_mcp_adapters.sessions import Connection
from langchain_mcp_adapters.tools import load_mcp_tools
from mcp import McpError

logger = logging.getLogger(__name__)
# It tells with tracebacks what is raised anyway, and addresses, which may hold a key.
logging.getLogger("mcp").setLevel(logging.CRITICAL)

CONNECT_WITHIN_S = 10.0
#: So long a command may need to start for the first time, and so long a run waits for it:
#: there are clients that give up when they hear nothing for 5 s.
LOAD_WITHIN_S = 30.0
WAIT_S = 3.0
REFRESH_AFTER_S = 300.0
RETRY_AFTER_S = 10.0
#: What all providers take as a tool's name.
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

Handler = Callable[[MCPToolCallRequest], Awaitable[MCPToolCallResult]]


@dataclass(slots=True, eq=False)
class Server:
    """A server, and what it offered when it was asked last."""

    name: str
    connection: Connection = field(repr=False)
    _tools: list[BaseTool] = field(default_factory=list)
    _asking: asyncio.Task[None] | None = None
    _ask_at: float = 0
    _was_asked: bool = False
    _calls: set[asyncio.Future[MCPToolCallResult]] = field(default_factory=set)

    async def tools(self) -> list[BaseTool]:
        """Its tools; none while it is away. Only the first answer is waited for, and not long."""
        if self._asking is None and time.monotonic() >= self._ask_at:
            self._asking = asyncio.create_task(self._ask())
        if self._asking and not self._was_asked:
            await asyncio.wait({self._asking}, timeout=WAIT_S)
            self._was_asked = True
        return self._tools

    async def _ask(self) -> None:
        self._ask_at = time.monotonic() + RETRY_AFTER_S
        try:
            async with asyncio.timeout(LOAD_WITHIN_S):
                found = await load_mcp_tools(
                    None,
                    connection=self.connection,
                    server_name=self.name,
                    tool_interceptors=[self._call],
                )
        except Exception as error:  # noqa: BLE001 - whatever it is, the agent does without
            logger.warning("MCP server %r gives no tools: %s", self.name, _causes(error))
        else:
            self._tools = [tool for tool in found if self._is_named_well(tool)]
            self._ask_at = time.monotonic() + REFRESH_AFTER_S
        finally:
            self._asking, self._was_asked = None, True

    def _is_named_well(self, tool: BaseTool) -> bool:
        fits = bool(NAME.fullmatch(tool.name))
        if not fits:
            logger.warning("MCP server %r: no provider takes the tool %r", self.name, tool.name)
        return fits

    async def _call(self, request: MCPToolCallRequest, handler: Handler) -> MCPToolCallResult:
        call = asyncio.ensure_future(handler(request))
        self._calls.add(call)
        call.add_done_callback(self._forget)
        try:
            # Who is stopped does not wait until a command has ended.
            await asyncio.wait({call})
        except asyncio.CancelledError:
            call.cancel()
            raise
        try:
            return call.result()
        except McpError as error:
            raise ToolException(error.error.message) from error
        except Exception as error:
            logger.warning("MCP server %r: %s", self.name, _causes(error))
            raise ToolException("The tool's server cannot be reached.") from error

    def _forget(self, call: asyncio.Future[MCPToolCallResult]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()


@cache
def at(
    name: str,
    place: str,
    headers: tuple[tuple[str, str], ...] = (),
    environment: tuple[tuple[str, str], ...] = (),
) -> Server:
    """The server at an address, or the one that a command starts; there is one of each."""
    return Server(name, _connection(place, dict(headers), dict(environment)))


def _connection(place: str, headers: dict[str, str], environment: dict[str, str]) -> Connection:
    if "://" not in place:
        command, *arguments = shlex.split(place)
        return {
            "transport": "stdio",
            "command": command,
            "args": arguments,
            "env": environment,
        }
    if httpx.URL(place).path.endswith("/sse"):
        return {"transport": "sse", "url": place, "headers": headers, "timeout": CONNECT_WITHIN_S}
    return {
        "transport": "streamable_http",
        "url": place,
        "headers": headers,
        "timeout": timedelta(seconds=CONNECT_WITHIN_S),
    }


def _causes(error: BaseException) -> str:
    return ", ".join(dict.fromkeys(_names(error)))


def _names(error: BaseException) -> Iterator[str]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _names(inner)
    elif isinstance(error, httpx.HTTPStatusError):
        yield f"HTTP status {error.response.status_code}"
    elif isinstance(error, OSError) and error.strerror:
        yield error.strerror
    else:
        yield type(error).__name__
