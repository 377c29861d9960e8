"""What a dialect says: one frame is one SSE event, or one text frame of a WebSocket."""

import json
from dataclasses import dataclass
from typing import Any, Protocol

from chat.events import Envelope


@dataclass(frozen=True, slots=True)
class Frame:
    """One thing to say. `name` is the SSE event's; without one, a browser calls it a message."""

    text: str
    name: str | None = None

    def as_sse(self, *, event_id: str | None = None, retry_ms: int | None = None) -> str:
        """Give the frame as one SSE event.

        The data stands in one line right behind the name: some readers go by that order.
        """
        lines = [f"event: {self.name}"] if self.name else []
        lines.append(f"data: {self.text}")
        lines += [f"id: {event_id}"] if event_id else []
        lines += [f"retry: {retry_ms}"] if retry_ms else []
        return "\n".join(lines) + "\n\n"


class Encoder(Protocol):
    """Turns the events of one run into frames, in order. Each reader has its own."""

    @property
    def is_over(self) -> bool:
        """Whether everything is said: the run has ended, or cannot be told any further."""

    def encode(self, envelope: Envelope) -> list[Frame]:
        """Give what the dialect says of this event; often nothing."""


def json_frame(data: dict[str, Any], *, name: str | None = None) -> Frame:
    """Make a frame of a JSON object."""
    return Frame(json.dumps(data, ensure_ascii=False, separators=(",", ":")), name)
