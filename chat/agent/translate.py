"""LangGraph's stream in, our pieces out, with nothing in them that cannot be stored or sent."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage, ToolMessage
from pydantic_core import to_jsonable_python

from chat.agent import pieces
from chat.agent.artifacts import Artifact
from chat.agent.pieces import Piece

STREAM_MODES = ["messages", "updates", "custom"]
#: The nodes of the agent that are steps to people; middleware has nodes of its own.
STEPS = ("model", "tools")
MAX_RESULT_CHARACTERS = 20_000
MAX_TITLE_CHARACTERS = 500


@dataclass(slots=True)
class Translator:
    """Turns the parts of one agent's stream into pieces; remembers what is half said."""

    #: Halves of surrogate pairs: a provider may cut an emoji in two between chunks.
    _halves: dict[type[pieces.Text | pieces.Reasoning], str] = field(default_factory=dict)
    _seen_results: set[str] = field(default_factory=set)

    def translate(self, mode: str, payload: Any) -> Iterator[Piece]:
        """Read one item of `astream(stream_mode=STREAM_MODES)`."""
        if mode == "messages":
            message, _ = payload
            yield from self._message(message)
        elif mode == "updates":
            for node, update in payload.items():
                yield from self._results(update)
                yield from self._rest()
                if node in STEPS:
                    yield pieces.StepCompleted(node)
        elif mode == "custom":
            yield _custom(payload)

    def _message(self, message: Any) -> Iterator[Piece]:
        if isinstance(message, AIMessageChunk):
            yield from self._chunk(message)
        elif isinstance(message, ToolMessage):
            yield from self._result(message)

    def _chunk(self, chunk: AIMessageChunk) -> Iterator[Piece]:
        yield from self._whole(pieces.Reasoning, reasoning_in(chunk))
        text = chunk.content if isinstance(chunk.content, str) else chunk.text
        yield from self._whole(pieces.Text, text)
        for called in chunk.tool_call_chunks:
            if called.get("id") and called.get("name"):
                yield pieces.ToolCall(clean(str(called["id"])), clean(str(called["name"])))
            if called.get("args"):
                yield pieces.ToolArguments(clean(str(called["args"])))

    def _results(self, update: Any) -> Iterator[Piece]:
        messages = update.get("messages", []) if isinstance(update, dict) else []
        for message in messages:
            if isinstance(message, ToolMessage):
                yield from self._result(message)

    def _result(self, message: ToolMessage) -> Iterator[Piece]:
        if message.tool_call_id in self._seen_results:
            return
        self._seen_results.add(message.tool_call_id)
        content = shortened(clean(str(message.text)))
        yield pieces.ToolResult(
            message.tool_call_id,
            content,
            is_error=message.status == "error",
            artifacts=_artifacts(message.artifact),
        )

    def _whole(self, kind: type[pieces.Text | pieces.Reasoning], text: str) -> Iterator[Piece]:
        """Hold back half an emoji at the end until its other half is there."""
        if not text:
            return
        text = self._halves.pop(kind, "") + text
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._halves[kind] = text[:-1], text[-1]
        if text:
            yield kind(clean(text))

    def _rest(self) -> Iterator[Piece]:
        """Halves whose other halves never came."""
        for kind, half in self._halves.items():
            yield kind(clean(half))
        self._halves.clear()


def reasoning_in(message: BaseMessage) -> str:
    """What a model thinks aloud: each provider puts it somewhere else."""
    told = str(message.additional_kwargs.get("reasoning_content") or "")
    if isinstance(message.content, str):
        return told
    for block in message.content:
        if isinstance(block, dict):
            # Of Anthropic and Gemini, then of OpenAI's Responses.
            told += str(block.get("thinking") or "")
            told += "".join(str(part.get("text") or "") for part in block.get("summary") or ())
    return told


def clean(text: str) -> str:
    """Join surrogate pairs, and replace what no database stores."""
    if text.isascii():
        return text.replace("\0", "\ufffd") if "\0" in text else text
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return joined.replace("\0", "\ufffd")


def shortened(text: str) -> str:
    """Cut what is too long to be kept as the result of a tool."""
    if len(text) <= MAX_RESULT_CHARACTERS:
        return text
    notice = f"\n… ({len(text)} characters, shortened)"
    return text[: MAX_RESULT_CHARACTERS - len(notice)] + notice


def _artifacts(made: Any) -> tuple[Artifact, ...]:
    """Other tools' artifacts, of whatever kind, are their own matter."""
    several = made if isinstance(made, list | tuple) else [made]
    return tuple(
        replace(one, title=clean(one.title)[:MAX_TITLE_CHARACTERS])
        for one in several
        if isinstance(one, Artifact)
    )


def _custom(payload: Any) -> Piece:
    match _as_json(payload):
        case {"progress": {"step": int(step), "total": int(total), "message": str(message)}}:
            return pieces.Progress(step, total, message)
        case {"progress": {"step": int(step)}}:
            return pieces.Progress(step)
        case {"tool_progress": {"name": str(name), "text": str(text)}}:
            return pieces.ToolProgress(name, text)
        case {"name": str(name), "data": data}:
            return pieces.Custom(name, data)
        case other:
            return pieces.Custom("custom", other)


def _as_json(payload: Any) -> Any:
    """Give what a tool wrote to the stream as far as JSON can say it."""
    try:
        plain = to_jsonable_python(payload, fallback=repr, bytes_mode="base64")
        text = clean(json.dumps(plain, ensure_ascii=False))
    except (ValueError, RecursionError):
        return f"({type(payload).__name__}, not JSON)"
    return json.loads(text) if len(text) <= MAX_RESULT_CHARACTERS else shortened(text)
