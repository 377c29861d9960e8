"""`stream_a2a`: let an agent answer, and post its answer and how it came to a mesh."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
from callbacks import BaseStreamCallback

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
    url = f"{mesh_url.rstrip('/')}/agents/{quote(agent_id, safe='')}/stream"
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as client:
            response = await client.post(url, json=delivery)
        if not response.is_success:
            return {"success": False, "error": f"The mesh answered {response.status_code}"}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return {"success": False, "error": str(error) or repr(error)}
    return {"success": True, "agent_id": agent_id, "streamed_to_mesh": True}


def get_streaming_config() -> dict[str, bool]:
    """Say which ways of streaming there are."""
    return {"sse_enabled": True, "websocket_enabled": True, "a2a_enabled": True}
