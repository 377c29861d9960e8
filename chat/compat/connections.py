"""`stream_sse`, `stream_websocket`, `ConnectionManager`: for programs that serve clients
themselves and let a running Chatledger answer them.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import httpx
from agent import RemoteAgent
from agent_runtime import TIMEOUT, key_headers, url
from callbacks import CostTracker

SEND_S = 5.0
CANCELLED = {"type": "cancelled", "message": "Stream cancelled by user"}


async def stream_sse(
    message: str, agent: Any, session_id: str = "default", cost_tracker: Any = None
) -> AsyncIterator[str]:
    """Give the answer as the text of server-sent events, heartbeats too.

    `agent` is what `create_agent` made: no other one is on the server. What the run has cost is
    added to the tracker. Raises ConnectionError or RuntimeError when the server cannot answer.
    """
    async with aclosing(_blocks(message, agent, session_id)) as blocks:
        async for block in blocks:
            said = _data_of(block)
            if said.get("type") == "done" and cost_tracker is not None:
                cost_tracker.add(said["cost_summary"])
            yield block


async def stream_websocket(
    websocket: Any, agent: Any, session_id: str, manager: "ConnectionManager | None" = None
) -> None:
    """Serve one socket (`receive_json`, `send_json`) until it ends: messages, answers, cancels."""
    manager = manager or ConnectionManager()
    await manager.connect(websocket, session_id)
    await manager.send_message(session_id, {"type": "connected", "session_id": session_id})
    try:
        while True:
            said = await websocket.receive_json()
            stopped = await manager.stop(session_id)
            if said.get("type") == "cancel":
                if stopped:
                    await manager.send_message(session_id, CANCELLED)
            elif message := said.get("message"):
                manager.start(session_id, agent, message)
            else:
                error = {"type": "error", "error": "Empty message", "error_type": "ValueError"}
                await manager.send_message(session_id, error)
    finally:
        await manager.disconnect(session_id)


class ConnectionManager:
    """The sockets of one process, by session, and what each of them has cost."""

    def __init__(self) -> None:
        self.active_connections: dict[str, Any] = {}
        self.session_tasks: dict[str, asyncio.Task[None]] = {}
        self.cost_trackers: dict[str, CostTracker] = {}

    async def connect(self, websocket: Any, session_id: str) -> None:
        """Accept a socket; one that the session had before is forgotten."""
        await websocket.accept()
        await self.disconnect(session_id)
        self.active_connections[session_id] = websocket
        self.cost_trackers[session_id] = CostTracker()

    async def disconnect(self, session_id: str) -> None:
        """Forget a session's socket and stop its answer."""
        self.active_connections.pop(session_id, None)
        self.cost_trackers.pop(session_id, None)
        await self.stop(session_id)

    async def send_message(self, session_id: str, event: dict[str, Any]) -> None:
        """Send an event; a socket that does not take it within 5 s is forgotten."""
        websocket = self.active_connections.get(session_id)
        if websocket is None:
            return
        try:
            # Not wait_for(): before Python 3.12 it may swallow a cancellation.
            async with asyncio.timeout(SEND_S):
                await websocket.send_json(event)
        except Exception:  # whatever a broken socket raises, it is broken
            self.active_connections.pop(session_id, None)
            if task := self.session_tasks.get(session_id):
                task.cancel()

    async def broadcast(self, event: dict[str, Any]) -> None:
        """Send an event to all sockets of this process; none waits for another one."""
        sending = (self.send_message(session_id, event) for session_id in self.active_connections)
        await asyncio.gather(*sending)

    def get_cost_tracker(self, session_id: str) -> CostTracker:
        """What the session has cost since its socket was connected."""
        return self.cost_trackers.setdefault(session_id, CostTracker())

    def start(self, session_id: str, agent: Any, message: str) -> None:
        """Begin to answer a message on the session's socket."""
        self.session_tasks[session_id] = asyncio.create_task(self._tell(session_id, agent, message))

    async def stop(self, session_id: str) -> bool:
        """Stop the session's answer, on the server too; gives whether there was one."""
        task = self.session_tasks.pop(session_id, None)
        if task is None or task.done():
            return False
        task.cancel()
        await asyncio.wait({task})
        return True

    async def _tell(self, session_id: str, agent: Any, message: str) -> None:
        tracker = self.get_cost_tracker(session_id)
        try:
            async with aclosing(stream_sse(message, agent, session_id, tracker)) as stream:
                async for block in stream:
                    if (said := _data_of(block)) and said["type"] != "connected":
                        await self.send_message(session_id, said)
        except (ConnectionError, RuntimeError) as error:
            told = {"error": str(error), "error_type": type(error).__name__}
            await self.send_message(session_id, {"type": "error", **told})


async def _blocks(message: str, agent: Any, session_id: str) -> AsyncIterator[str]:
    if not isinstance(agent, RemoteAgent):
        raise TypeError("Only an agent that create_agent() made is on the server")
    question = {"message": message, "session_id": session_id}
    run_id, is_over = "", False
    async with httpx.AsyncClient(timeout=TIMEOUT, headers=key_headers()) as client:
        try:
            async with client.stream("POST", url("/chat/stream"), json=question) as response:
                if response.is_error:
                    raise RuntimeError(f"The server answered {response.status_code}")
                block = ""
                async for line in response.aiter_lines():
                    block += f"{line}\n"
                    if line.startswith("id: "):
                        run_id = line.removeprefix("id: ").partition(":")[0]
                    if not line:
                        is_over = _data_of(block).get("type") in ("done", "error", "cancelled")
                        yield block
                        block = ""
        except httpx.TransportError as error:
            raise ConnectionError(str(error) or repr(error)) from error
        finally:
            if run_id and not is_over:
                with suppress(httpx.HTTPError):
                    await client.post(url(f"/api/runs/{run_id}/cancel"))


def _data_of(block: str) -> dict[str, Any]:
    found = (line for line in block.splitlines() if line.startswith("data: "))
    said: dict[str, Any] = json.loads(next(found, "data: {}").removeprefix("data: "))
    return said
