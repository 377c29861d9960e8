"""`stream_agent` and `invoke_agent`: ask a running Chatledger as if the agent were here.

CHATLEDGER_URL says where it runs, CHATLEDGER_API_KEY by which key it is asked.
"""

import json
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
from streaming_utils import SSEEvent

#: A run may take its time; between two words of it, a keep-alive comes every 4 s.
WHOLE_S = 600.0
TIMEOUT = httpx.Timeout(30.0, read=60.0)


async def stream_agent(payload: dict[str, Any], context: object = None) -> AsyncIterator[SSEEvent]:
    """Give the events of an answer as they come. Raises ConnectionError."""
    async with httpx.AsyncClient(timeout=TIMEOUT) as client:
        try:
            async with client.stream("POST", url("/stream"), **_asked(payload)) as response:
                if response.is_error:
                    await response.aread()
                    _raise_for(response)
                name = ""
                async for line in response.aiter_lines():
                    field, _, value = line.partition(": ")
                    if field == "event":
                        name = value
                    elif field == "data":
                        yield SSEEvent(name, json.loads(value))
        except httpx.TransportError as error:
            raise ConnectionError(str(error) or repr(error)) from error


def invoke_agent(payload: dict[str, Any], context: object = None) -> str:
    """Give the whole answer. Raises ConnectionError, or RuntimeError when there is none."""
    try:
        response = httpx.post(url("/invocations"), timeout=WHOLE_S, **_asked(payload))
    except httpx.TransportError as error:
        raise ConnectionError(str(error) or repr(error)) from error
    if response.is_error:
        _raise_for(response)
    answer: str = response.json()
    return answer


def url(path: str) -> str:
    """Where the running Chatledger has a path."""
    return os.environ.get("CHATLEDGER_URL", "http://localhost:8000").rstrip("/") + path


def _asked(payload: dict[str, Any]) -> dict[str, Any]:
    return {"json": payload, "headers": key_headers()}


def key_headers() -> dict[str, str]:
    """The headers that say by which key it is asked."""
    key = os.environ.get("CHATLEDGER_API_KEY")
    return {"X-API-Key": key} if key else {}


def _raise_for(response: httpx.Response) -> None:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = response.reason_phrase
    raise RuntimeError(f"{response.status_code}: {detail}")
