"""What clients of older systems say on their sockets, and how they are answered there."""

from dataclasses import dataclass
from typing import Any, Protocol

from django.utils import timezone

from chat import event_log, strict_json
from chat.commands import clean_text
from chat.dialects import switches
from chat.wire import agentcore, ossa, theo
from chat.wire.agentcore import DEFAULT_ACTOR, FlatEncoder
from chat.wire.frames import Encoder, Frame
from chat.wire.ossa import OssaEncoder
from chat.wire.text import DONE, TextEncoder
from chat.wire.theo import TheoSocketEncoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """A message, and how its answer is to be told."""

    text: str
    encoder: Encoder
    #: Where the frame says which session it is for.
    session_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """The wish that whatever is being answered is stopped."""

    said: Frame | None = None


class Misunderstood(ValueError):
    """The frame says nothing that can be done; the message is for its sender."""


class Speech(Protocol):
    """One dialect on a socket."""

    def greet(self, session_id: str) -> list[Frame]:
        """What a client is told first."""

    def encoder(self) -> Encoder:
        """How a run is told that was asked for before this socket was opened."""

    def understand(self, text: str) -> Asks | Stops:
        """Read a frame. Raises Misunderstood."""

    def refuse(self, message: str) -> list[Frame]:
        """Say that something cannot be done."""


class OssaSpeech:
    """OSSA's messages, and AgentTheo's commands, told apart by their keys."""

    def __init__(self) -> None:
        self._last_was_command = False

    def greet(self, session_id: str) -> list[Frame]:
        return [ossa.connected(session_id)]

    def encoder(self) -> Encoder:
        return OssaEncoder(silent=switches.silent_types())

    def understand(self, text: str) -> Asks | Stops:
        said = _object(text)
        self._last_was_command = "command" in said
        if self._last_was_command:
            return self._command(said)
        kind = said.get("type", "message")
        if kind == "cancel":
            return Stops()
        if kind != "message":
            raise Misunderstood("Unknown type; known: message, cancel")
        return Asks(text=_text(said.get("message", "")), encoder=self.encoder())

    def refuse(self, message: str) -> list[Frame]:
        if self._last_was_command:
            return [theo.line(message, kind="error")]
        return [ossa.error(message)]

    def _command(self, said: dict[str, Any]) -> Asks | Stops:
        if said["command"] == theo.STOP:
            return Stops(said=theo.line("Stop requested"))
        encoder = TheoSocketEncoder(streams_tokens=said.get("stream") is True)
        return Asks(text=_text(said["command"]), encoder=encoder)


class AgentCoreSpeech:
    """AgentCore's payloads."""

    def greet(self, session_id: str) -> list[Frame]:
        return []

    def encoder(self) -> Encoder:
        return self._encoder({})

    def understand(self, text: str) -> Asks | Stops:
        said = _object(text)
        if said.get("type") == "cancel":
            return Stops()
        session_id, actor_id = said.get("session_id"), said.get("actor_id", DEFAULT_ACTOR)
        if not isinstance(session_id, str | None) or not isinstance(actor_id, str):
            raise Misunderstood("session_id or actor_id is not a text")
        return Asks(
            text=_text(said.get("prompt", "")),
            encoder=self._encoder(said),
            session_id=agentcore.session_of_actor(session_id, actor_id),
        )

    def refuse(self, message: str) -> list[Frame]:
        at = event_log.format_at(timezone.now())
        return [agentcore.flat(agentcore.error(message, kind="ValueError", at=at))]

    def _encoder(self, said: dict[str, Any]) -> Encoder:
        session_id, actor_id = str(said.get("session_id", "")), str(said.get("actor_id", ""))
        return FlatEncoder(session_id=session_id, actor_id=actor_id, streams_tokens=True)


class TextSpeech:
    """Raw text, or an object with a message; the answer is text and `[DONE]`."""

    def greet(self, session_id: str) -> list[Frame]:
        return []

    def encoder(self) -> Encoder:
        return TextEncoder()

    def understand(self, text: str) -> Asks | Stops:
        if text.lstrip().startswith("{"):
            said = _object(text)
            if said.get("type") == "cancel":
                return Stops()
            return Asks(text=_text(said.get("message", "")), encoder=TextEncoder())
        return Asks(text=_text(text), encoder=TextEncoder())

    def refuse(self, message: str) -> list[Frame]:
        return [Frame(f"[Error: {message}]"), Frame(DONE)]


def _object(text: str) -> dict[str, Any]:
    try:
        said = strict_json.loads(text)
    except strict_json.InvalidJson as error:
        raise Misunderstood(f"Not valid JSON: {error}") from error
    if not isinstance(said, dict):
        raise Misunderstood("A message is a JSON object")
    return said


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Misunderstood("The message is not a text")
    try:
        return clean_text(value)
    except ValueError as error:
        raise Misunderstood(str(error)) from error
