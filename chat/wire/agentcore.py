"""The dialect of LangGraph agents on AgentCore: named events with flat data."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from chat import events
from chat.events import Envelope, Event
from chat.wire.frames import Frame, json_frame
from chat.wire.story import INTERRUPTED, StoryEncoder, error_type

DEFAULT_SESSION, DEFAULT_ACTOR = "default-session", "default-actor"
NODE = "chatbot"
EXCERPT = 200
Said = tuple[str, dict[str, Any]]


def session_of_actor(session_id: str | None, actor_id: str) -> str | None:
    """Name the session that is meant: what one actor says in it is not told another one."""
    if actor_id == DEFAULT_ACTOR:
        return session_id
    return f"{session_id or DEFAULT_SESSION}@{actor_id}"


def heartbeat(at: str) -> Frame:
    """Say that the stream lives."""
    return json_frame({"timestamp": at}, name="heartbeat")


def error(message: str, *, kind: str, at: str) -> Frame:
    """What was asked for cannot be done, or failed."""
    return json_frame({"error": message, "type": kind, "timestamp": at}, name="error")


def flat(frame: Frame) -> Frame:
    """A named frame for a WebSocket, with the name as its type."""
    return Frame(f'{{"type":{json.dumps(frame.name)},{frame.text[1:]}')


class AgentCoreEncoder(StoryEncoder):
    """Tells one run; single tokens only to those who ask for them."""

    def __init__(self, *, session_id: str, actor_id: str, streams_tokens: bool) -> None:
        super().__init__()
        self._who = {"session_id": session_id, "actor_id": actor_id}
        self._streams_tokens = streams_tokens
        self._steps = 0

    def _say(self, event: Event, envelope: Envelope) -> list[Frame]:
        return [json_frame(data, name=name) for name, data in self._tell(event, envelope.at)]

    def _begin_anew(self, envelope: Envelope) -> Iterable[Frame]:
        self._steps = 1
        return super()._begin_anew(envelope)

    def _break_off(self, envelope: Envelope) -> list[Frame]:
        return [error(INTERRUPTED, kind="Interrupted", at=envelope.at)]

    def _tell(self, event: Event, at: str) -> Iterator[Said]:
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
                yield from self._tell_of_tools(event)
                yield from self._tell_end(event, at)

    def _tell_of_tools(self, event: Event) -> Iterator[Said]:
        match event:
            case events.ToolProgress():
                yield "tool_progress", {"tool": event.name, "status": event.text}
            case events.ToolResult():
                yield from self._tool_ended(event.name, event.content)
            case events.ToolFailed():
                yield from self._tool_ended(event.name, f"Error: {event.error}")

    def _tell_end(self, event: Event, at: str) -> Iterator[Said]:
        match event:
            case events.RunFinished():
                yield "agent_end", self._result(at)
            case events.RunFailed():
                failed = {"error": event.message, "type": error_type(event)}
                yield "error", {**failed, "timestamp": at}
            case events.RunCancelled():
                cancelled = {"error": "The stream was cancelled", "type": "CancelledError"}
                yield "error", {**cancelled, "timestamp": at}

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


class FlatEncoder(AgentCoreEncoder):
    """Tells one run on a WebSocket."""

    def encode(self, envelope: Envelope) -> list[Frame]:
        return [flat(frame) for frame in super().encode(envelope)]
