"""The tools of real MCP servers: one that is started for each call, and one over HTTP."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from langchain_core.tools import ToolException

from chat.agent.tools import mcp
from tests.process.product import ROOT

COMMAND = f"{sys.executable} {ROOT / 'tests/fakes/mcp_server.py'}"


async def until(condition):
    async with asyncio.timeout(10):
        while not (found := condition()):  # noqa: ASYNC110 - a process tells nobody
            await asyncio.sleep(0.02)
    return found


def text_of(content):
    return "".join(block["text"] for block in content)


async def by_name(server):
    """Its tools by name, as soon as it has any."""
    async with asyncio.timeout(30):
        while not (tools := await server.tools()):  # noqa: ASYNC110 - it may be away
            await asyncio.sleep(0.05)
    return {tool.name: tool for tool in tools}


@pytest.fixture(autouse=True)
def _without_patience(monkeypatch):
    monkeypatch.setattr("mcp.client.stdio.PROCESS_TERMINATION_TIMEOUT", 0.1)


async def test_a_command_is_started_for_each_call_and_ends_with_it(monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("SECRET_KEY", "hush")
    tools = await by_name(mcp.at("own", COMMAND, (), (("GIVEN", "x"),)))
    assert set(tools) == {"add", "refuse", "environment", "hang", "die"}
    assert "no provider takes the tool 'not.a.name'" in caplog.text
    told = await tools["environment"].ainvoke({"names": ["GIVEN", "SECRET_KEY"]})
    assert text_of(told) == "GIVEN=x, SECRET_KEY=None"
    with pytest.raises(ToolException, match="closed"):
        await tools["die"].ainvoke({})
    noted = tmp_path / "pid"
    call = asyncio.create_task(tools["hang"].ainvoke({"path": str(noted)}))
    pid = int(await until(lambda: noted.exists() and noted.read_text()))
    call.cancel()
    await asyncio.wait({call})
    assert call.cancelled()
    await until(lambda: not Path(f"/proc/{pid}").exists())


@pytest.fixture
def port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


async def test_a_server_over_http_comes_and_goes(port, monkeypatch, caplog):
    monkeypatch.setattr(mcp, "RETRY_AFTER_S", 0)
    server = mcp.at("remote", f"http://127.0.0.1:{port}/mcp", (("Authorization", "sk-secret"),))
    assert await server.tools() == []
    assert "MCP server 'remote' gives no tools: ConnectError" in caplog.text
    with subprocess.Popen([*COMMAND.split(), str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            tools = await by_name(server)
            assert text_of(await tools["add"].ainvoke({"a": 2, "b": 3})) == "5"
            assert "not today" in text_of(await tools["refuse"].ainvoke({}))
        finally:
            os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(ToolException, match="cannot be reached"):
        await tools["add"].ainvoke({"a": 2, "b": 3})
    assert "sk-secret" not in caplog.text + repr(server)


@pytest.mark.parametrize("place", ["no-such-command", "false", "sleep 60"])
async def test_a_server_that_says_nothing_is_done_without(place, monkeypatch, caplog):
    monkeypatch.setattr(mcp, "LOAD_WITHIN_S", 0.3)
    monkeypatch.setattr(mcp, "WAIT_S", 0.1)
    assert await mcp.at("silent", place).tools() == []
    await until(lambda: "MCP server 'silent' gives no tools" in caplog.text)
