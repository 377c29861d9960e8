"""The reference: the same agent in one FastAPI process, streamed straight to its WebSocket.

It keeps nothing, counts nothing and knows no other process: what it spends on a token is what
LangChain, the provider's client and a WebSocket cost by themselves.
Run as `python -m tests.benchmarks.reference --base-url URL --port-file PATH`.
"""

import argparse
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket
from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_openai import ChatOpenAI

from chat.agent import prompts
from chat.agent.tools import TOOLS

STREAM_MODES = ["messages", "updates", "custom"]


class Reference:
    """Answers each message on a WebSocket with an agent of its own."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    async def serve(self, websocket: WebSocket) -> None:
        """One connection: a message in, its answer out, and then the next message."""
        await websocket.accept()
        async for text in websocket.iter_text():
            async for delta in self.answer(json.loads(text)["text"]):
                await websocket.send_text(json.dumps({"type": "text.delta", "delta": delta}))
            await websocket.send_text(json.dumps({"type": "run.finished"}))

    async def answer(self, text: str) -> AsyncIterator[str]:
        """The text deltas of the agent's answer."""
        # LangChain gives all models of one base URL the same HTTP client.
        model = ChatOpenAI(
            model="gpt-4o-mini",
            base_url=self.base_url,
            api_key="none",
            stream_usage=True,
            max_retries=0,
            use_responses_api=False,
        )
        graph = create_agent(
            model, tools=list(TOOLS.values()), system_prompt=prompts.read("default")
        )
        stream = graph.astream({"messages": [HumanMessage(text)]}, stream_mode=STREAM_MODES)
        async for mode, payload in stream:
            if delta := delta_in(mode, payload):
                yield delta


def delta_in(mode: str, payload: Any) -> str:
    """The text of one item of the agent's stream, empty for an item that has none."""
    if mode != "messages" or not isinstance(payload[0], AIMessageChunk):
        return ""
    content = payload[0].content
    return content if isinstance(content, str) else ""


def make_application(base_url: str, on_ready: Callable[[], object]) -> FastAPI:
    """The application; calls `on_ready` when it is about to take connections."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        on_ready()
        yield

    application = FastAPI(lifespan=lifespan)
    application.add_api_websocket_route("/ws", Reference(base_url).serve)
    return application


def write_port(port_file: Path, port: int) -> None:
    """Tell the port; renamed into place, so that nobody reads a file that is still empty."""
    unfinished = port_file.with_name(port_file.name + ".new")
    unfinished.write_text(str(port), encoding="utf-8")
    unfinished.rename(port_file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--port-file", type=Path, required=True)
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    application = make_application(
        options.base_url, partial(write_port, options.port_file, listener.getsockname()[1])
    )
    config = uvicorn.Config(application, loop="uvloop", log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
