"""`stream_a2a`: let an agent answer, and post its answer and how it came to a mesh.

The other ways of streaming are in `connections`; they are imported from here.
"""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
from agent_runtime import key_headers, url
from callbacks import BaseStreamCallback
from connections import ConnectionManager, stream_sse, stream_websocket

__all__ = [
    "ConnectionManager",
    "get_streaming_config",
    "stream_a2a",
    "stream_sse",
    "stream_websocket",
]

TIMEOUT_S = 30.0
OURS = {"llm_start": "llm_start", "llm_token": "token", "llm_end": "llm_end"}
OURS |= {"tool_start": "tool_start", "tool_end": "tool_end", "error": "tool_error"}


async def stream_a2a(
    agent_id: str,
    message: str,
    agent: Any,
    mesh_url: str = "http://localhost:8080",
    target_agent: str | None = None,
) -> dict[str, Any]:
    """Ask an agent with `arun(message, callbacks=[...])` and post what it said, once.

    Gives `{"success": True, "agent_id", "streamed_to_mesh": True}`, or `{"success": False,
    "error"}` when the agent failed or the mesh did not take it.
    """
    heard = BaseStreamCallback()
    try:
        result = await agent.arun(message, callbacks=[heard])
    except Exception as error:  # whatever an agent raises is its answer
        return {"success": False, "error": str(error) or repr(error)}
    told = [{"type": OURS[str(event.event_type)], **event.data} for event in heard.events]
    tokens = "".join(event["token"] for event in told if event["type"] == "token")
    delivery = {
        "agent_id": agent_id,
        "message": message,
        "response": tokens or result,
        "target_agent": target_agent,
        "timestamp": datetime.now(UTC).isoformat(),
        "streaming_events": [*told, {"type": "done", "result": result}],
    }
    address = f"{mesh_url.rstrip('/')}/agents/{quote(agent_id, safe='')}/stream"
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client:
            response = await client.post(address, json=delivery)
        if not response.is_success:
            return {"success": False, "error": f"The mesh answered {response.status_code}"}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return {"success": False, "error": str(error) or repr(error)}
    return {"success": True, "agent_id": agent_id, "streamed_to_mesh": True}


def get_streaming_config() -> dict[str, bool]:
    """Say which ways of streaming the running Chatledger offers. Raises ConnectionError."""
    try:
        headers = {"Accept": "application/json", **key_headers()}
        endpoints = httpx.get(url("/"), headers=headers, timeout=TIMEOUT_S).json()["endpoints"]
    except httpx.TransportError as error:
        raise ConnectionError(str(error) or repr(error)) from error
    ways = {"sse": "stream_sse", "websocket": "stream_ws", "a2a": "stream_a2a"}
    return {f"{way}_enabled": name in endpoints for way, name in ways.items()}
