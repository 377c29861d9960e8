"""The dialect of LangGraph agents on AgentCore: named events with flat data."""

import json
from collections.abc import Iterator
from typing import Any

from chat import events
from chat.events import Envelope
from chat.wire.frames import Frame, json_frame
from chat.wire.story import INTERRUPTED, Story, error_type

NODE = "chatbot"
EXCERPT = 200
Said = tuple[str, dict[str, Any]]


def heartbeat(at: str) -> Frame:
    """Say that the stream lives."""
    return json_frame({"timestamp": at}, name="heartbeat")


def error(message: str, *, kind: str, at: str) -> Frame:
    """What was asked for cannot be done, or failed."""
    return json_frame({"error": message, "type": kind, "timestamp": at}, name="error")


def flat(frame: Frame) -> Frame:
    """A named frame for a WebSocket, with the name as its type."""
    return Frame(f'{{"type":{json.dumps(frame.name)},{frame.text[1:]}')


class AgentCoreEncoder:
    """Tells one run; single tokens only to those who ask for them."""

    def __init__(self, *, session_id: str, actor_id: str, streams_tokens: bool) -> None:
        self._who = {"session_id": session_id, "actor_id": actor_id}
        self._streams_tokens = streams_tokens
        self._story = Story()
        self._steps = 0
        self.is_over = False

    def encode(self, envelope: Envelope) -> list[Frame]:
        if self.is_over:
            return []
        event = envelope.event
        self._story.take(event, at=envelope.at)
        said = list(self._say(event, envelope.at))
        retracted = isinstance(event, events.AttemptStarted) and self._story.pieces
        self.is_over = envelope.is_terminal or bool(retracted)
        return [json_frame(data, name=name) for name, data in said]

    def _say(self, event: events.Event, at: str) -> Iterator[Said]:
        match event:
            case events.MessageCompleted(role="user"):
                yield "agent_start", {**self._who, "timestamp": at}
                yield self._step(self._story.prompt, "human")
            case events.ModelCallStarted():
                yield "llm_start", {"prompts": [self._story.prompt], "model": event.model}
            case events.TextDelta() if self._streams_tokens:
                index = len(self._story.pieces) - 1
                yield "llm_token", {"token": event.delta, "index": index}
            case events.ModelCallFinished():
                yield "llm_end", {"status": "completed", "generations": 1}
                yield self._step(self._story.call_text, "ai")
                yield from self._tool_starts()
            case _:
                yield from self._say_of_tools(event)
                yield from self._say_end(event, at)

    def _say_of_tools(self, event: events.Event) -> Iterator[Said]:
        match event:
            case events.ToolProgress():
                yield "tool_progress", {"tool": event.name, "status": event.text}
            case events.ToolResult():
                yield from self._tool_ended(event.name, event.content)
            case events.ToolFailed():
                yield from self._tool_ended(event.name, f"Error: {event.error}")

    def _say_end(self, event: events.Event, at: str) -> Iterator[Said]:
        match event:
            case events.RunFinished():
                yield "agent_end", self._result(at)
            case events.RunFailed():
                failed = {"error": event.message, "type": error_type(event)}
                yield "error", {**failed, "timestamp": at}
            case events.RunCancelled():
                cancelled = {"error": "The stream was cancelled", "type": "CancelledError"}
                yield "error", {**cancelled, "timestamp": at}
            case events.AttemptStarted() if self._story.pieces:
                yield "error", {"error": INTERRUPTED, "type": "Interrupted", "timestamp": at}
            case events.AttemptStarted():
                self._story.forget_attempt()
                self._steps = 1

    def _tool_starts(self) -> Iterator[Said]:
        for called in self._story.take_called():
            yield "tool_start", {"tool": called.name, "input": str(called.arguments)[:EXCERPT]}

    def _tool_ended(self, name: str, output: str) -> Iterator[Said]:
        yield from self._tool_starts()
        yield "tool_end", {"tool": name, "output": output[:EXCERPT]}
        yield self._step(output, "tool")

    def _step(self, content: str, kind: str) -> Said:
        self._steps += 1
        return "agent_step", {"step": self._steps, "node": NODE, "content": content, "type": kind}

    def _result(self, at: str) -> dict[str, Any]:
        story = self._story
        metrics = {
            "tokens": story.completion_tokens,
            "tool_calls": story.tool_calls,
            "errors": story.tool_errors,
            "start_time": story.started_at,
            "end_time": at,
        }
        output = {"output": story.call_text, "steps": self._steps, "metrics": metrics}
        return {**output, "timestamp": at}


class FlatEncoder:
    """Tells one run on a WebSocket."""

    def __init__(self, encoder: AgentCoreEncoder) -> None:
        self._encoder = encoder

    @property
    def is_over(self) -> bool:
        return self._encoder.is_over

    def encode(self, envelope: Envelope) -> list[Frame]:
        return [flat(frame) for frame in self._encoder.encode(envelope)]
