"""An answer in the making: turns what an agent says into events, each start with its end.

Pure: the same pieces give the same events. Also rebuilds the answer of a dead attempt from its
events.
"""

import json
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from chat import events
from chat.events import Event
from chat.parts import ArtifactRef, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart

NOT_RUN = "Not run: the answer ended before."


@dataclass(slots=True)
class _Open:
    """The part that is being written."""

    kind: str
    part: int
    text: list[str] = field(default_factory=list)
    tool_call_id: str = ""
    name: str = ""


@dataclass(slots=True, kw_only=True)
class Draft:
    """The parts of one message so far."""

    message_id: str
    parts: list[Part] = field(default_factory=list)
    _open: _Open | None = None

    def begin(self, kind: Literal["text", "reasoning"]) -> Generator[Event, None, _Open]:
        """Open a part of this kind, after closing another; one that is open goes on."""
        if self._open is None or self._open.kind != kind:
            yield from self.close()
            self._open = _Open(kind, len(self.parts))
            started = events.TextStarted if kind == "text" else events.ReasoningStarted
            yield started(message_id=self.message_id, part=self._open.part)
        return self._open

    def text(self, delta: str, *, tokens: int, cost: str | None) -> Iterator[Event]:
        """Add to the text, after closing whatever else was open."""
        opened = yield from self.begin("text")
        opened.text.append(delta)
        yield events.TextDelta(
            message_id=self.message_id, part=opened.part, delta=delta, tokens=tokens, cost=cost
        )

    def reasoning(self, delta: str, *, tokens: int, cost: str | None) -> Iterator[Event]:
        """Add to the reasoning that stands before the next text."""
        opened = yield from self.begin("reasoning")
        opened.text.append(delta)
        yield events.ReasoningDelta(
            message_id=self.message_id, part=opened.part, delta=delta, tokens=tokens, cost=cost
        )

    def tool_call(self, *, tool_call_id: str, name: str) -> Iterator[Event]:
        """Begin a tool call; its arguments follow piece by piece."""
        yield from self.close()
        self._open = _Open("tool_call", len(self.parts), tool_call_id=tool_call_id, name=name)
        yield events.ToolCallStarted(
            message_id=self.message_id,
            part=self._open.part,
            tool_call_id=tool_call_id,
            name=name,
        )

    def tool_arguments(self, delta: str, *, tokens: int, cost: str | None) -> Iterator[Event]:
        """Add to the JSON text of the arguments of the tool call that is open."""
        if self._open is None or self._open.kind != "tool_call":
            return
        self._open.text.append(delta)
        yield events.ToolCallDelta(
            message_id=self.message_id,
            part=self._open.part,
            delta=delta,
            tokens=tokens,
            cost=cost,
        )

    def tool_result(
        self,
        *,
        tool_call_id: str,
        content: str,
        is_error: bool,
        artifacts: tuple[ArtifactRef, ...] = (),
    ) -> Iterator[Event]:
        """Add what a tool gave back; a result that no call asked for is left out."""
        yield from self.close()
        name = self._unanswered().get(tool_call_id)
        if name is None:
            return
        where: dict[str, Any] = {
            "message_id": self.message_id,
            "part": len(self.parts),
            "tool_call_id": tool_call_id,
            "name": name,
        }
        self.parts.append(
            ToolResultPart(
                tool_call_id=tool_call_id,
                name=name,
                content=content,
                is_error=is_error,
                artifacts=artifacts,
            )
        )
        if is_error:
            yield events.ToolFailed(**where, error=content)
        else:
            yield events.ToolResult(**where, content=content, artifacts=artifacts)

    def close(self) -> Iterator[Event]:
        """End the part that is open, if one is."""
        opened, self._open = self._open, None
        if opened is None:
            return
        text = "".join(opened.text)
        where = {"message_id": self.message_id, "part": opened.part}
        if opened.kind == "text":
            self.parts.append(TextPart(text=text))
            yield events.TextEnded.model_validate(where)
        elif opened.kind == "reasoning":
            self.parts.append(ReasoningPart(text=text))
            yield events.ReasoningEnded.model_validate(where)
        else:
            part = ToolCallPart(
                tool_call_id=opened.tool_call_id, name=opened.name, arguments=_arguments(text)
            )
            self.parts.append(part)
            yield events.ToolCallEnded.model_validate(where | part.model_dump(exclude={"type"}))

    def finish(self) -> Iterator[Event]:
        """End everything: also tool calls that got no answer, which a model would not accept."""
        yield from self.close()
        for tool_call_id in self._unanswered():
            yield from self.tool_result(tool_call_id=tool_call_id, content=NOT_RUN, is_error=True)

    def _unanswered(self) -> dict[str, str]:
        answered = {p.tool_call_id for p in self.parts if isinstance(p, ToolResultPart)}
        return {
            p.tool_call_id: p.name
            for p in self.parts
            if isinstance(p, ToolCallPart) and p.tool_call_id not in answered
        }


def replay(message_id: str, happened: Iterable[Event]) -> Draft:
    """Rebuild the draft of an attempt from its events, so that it can be finished properly."""
    draft = Draft(message_id=message_id)
    for event in happened:
        _written(draft, event)
        _called(draft, event)
    return draft


def _written(draft: Draft, event: Event) -> None:
    match event:
        case events.TextStarted():
            list(draft.begin("text"))
        case events.ReasoningStarted():
            list(draft.begin("reasoning"))
        case events.TextDelta():
            list(draft.text(event.delta, tokens=0, cost=None))
        case events.ReasoningDelta():
            list(draft.reasoning(event.delta, tokens=0, cost=None))
        case events.TextEnded() | events.ReasoningEnded() | events.ToolCallEnded():
            list(draft.close())


def _called(draft: Draft, event: Event) -> None:
    match event:
        case events.ToolCallStarted():
            list(draft.tool_call(tool_call_id=event.tool_call_id, name=event.name))
        case events.ToolCallDelta():
            list(draft.tool_arguments(event.delta, tokens=0, cost=None))
        case events.ToolResult(tool_call_id=tool_call_id, content=content):
            told = {"tool_call_id": tool_call_id, "content": content}
            list(draft.tool_result(**told, is_error=False, artifacts=event.artifacts))
        case events.ToolFailed(tool_call_id=tool_call_id, error=error):
            list(draft.tool_result(tool_call_id=tool_call_id, content=error, is_error=True))


def _arguments(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
