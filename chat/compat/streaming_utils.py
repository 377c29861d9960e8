"""Server-sent events as text and as objects, and what clients do with streams of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class StreamEventType(StrEnum):
    """The names of the events."""

    AGENT_START = "agent_start"
    AGENT_STEP = "agent_step"
    AGENT_END = "agent_end"
    LLM_START = "llm_start"
    LLM_TOKEN = "llm_token"  # noqa: S105  # a name of an event
    LLM_END = "llm_end"
    TOOL_START = "tool_start"
    TOOL_PROGRESS = "tool_progress"
    TOOL_END = "tool_end"
    ERROR = "error"
    HEARTBEAT = "heartbeat"


class SSEEvent(str):
    """One event: its text, and what it says as `type` and `data`."""

    type: str
    data: dict[str, Any]

    def __new__(cls, kind: str, data: Mapping[str, Any]) -> "SSEEvent":
        made = super().__new__(cls, f"event: {kind}\ndata: {json.dumps(dict(data))}\n\n")
        made.type, made.data = kind, dict(data)
        return made


@dataclass
class StreamEvent:
    """An event that is being made."""

    event_type: str
    data: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    timestamp: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    def to_dict(self) -> dict[str, Any]:
        """Give the event as one object."""
        told = {"type": str(self.event_type), "data": self.data, "timestamp": self.timestamp}
        return told | ({"metadata": self.metadata} if self.metadata else {})

    def to_sse(self) -> SSEEvent:
        """Give the event as server-sent text."""
        return SSEEvent(str(self.event_type), self.data)

    def to_json(self) -> str:
        """Give the event as JSON text."""
        return json.dumps(self.to_dict())


class TokenBuffer:
    """Joins tokens, so that less has to be sent."""

    def __init__(self, buffer_size: int = 5) -> None:
        self._size = buffer_size
        self._tokens: list[str] = []

    def add(self, token: str) -> str | None:
        """Keep a token; gives all that is kept once there are enough."""
        self._tokens.append(token)
        return self.flush() if len(self._tokens) >= self._size else None

    def flush(self) -> str:
        """Give what is kept, perhaps nothing."""
        text, self._tokens = "".join(self._tokens), []
        return text


def format_sse_event(event_type: str, data: Mapping[str, Any]) -> SSEEvent:
    """Make the text of one event."""
    return SSEEvent(str(event_type), data)


def format_json_event(event_type: str, data: Mapping[str, Any]) -> str:
    """Make one event as JSON text."""
    return StreamEvent(str(event_type), dict(data)).to_json()


async def stream_with_heartbeat(
    stream: AsyncIterator[str], heartbeat_interval: float = 30
) -> AsyncIterator[str]:
    """Give what the stream gives, and a heartbeat for each silence of so many seconds."""
    upcoming: asyncio.Future[str] | None = None
    try:
        while True:
            upcoming = upcoming or asyncio.ensure_future(anext(stream))
            done, _ = await asyncio.wait({upcoming}, timeout=heartbeat_interval)
            if not done:
                yield SSEEvent("heartbeat", {"timestamp": datetime.now(UTC).isoformat()})
                continue
            try:
                found = upcoming.result()
            except StopAsyncIteration:
                return
            upcoming = None
            yield found
    finally:
        if upcoming:
            upcoming.cancel()
