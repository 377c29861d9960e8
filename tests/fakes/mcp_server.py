"""A server of the Model Context Protocol: over its standard streams, or over HTTP at a port."""

import os
import sys
import time
from pathlib import Path

from mcp.server.fastmcp import FastMCP

server = FastMCP("fake", log_level="ERROR")


@server.tool()
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


@server.tool()
def refuse() -> str:
    """Fail."""
    raise ValueError("not today")


@server.tool()
def environment(names: list[str]) -> str:
    """Tell variables of the environment."""
    return ", ".join(f"{name}={os.environ.get(name)}" for name in names)


@server.tool()
def hang(path: str) -> str:
    """Write down who is hanging, and hang."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(600)
    return "never"


@server.tool()
def die() -> str:
    """End in the middle of a call."""
    os._exit(1)


@server.tool(name="not.a.name")
def odd() -> str:
    """Have a name that no provider takes."""
    return ""


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.settings.port = int(sys.argv[1])
        server.run("streamable-http")
    else:
        server.run("stdio")
