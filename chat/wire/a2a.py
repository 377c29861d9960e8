"""The dialect of A2A 0.2 and 0.3: JSON-RPC answers, and streams of them as named events.

https://a2a-protocol.org/v0.3.0/specification/ (read 2026-11): a run is a task, a session is its
context, and the answer is an artifact that grows.
"""

from collections.abc import Iterator
from typing import Any

from chat import events
from chat.events import Envelope, Event
from chat.wire.frames import Frame, json_frame
from chat.wire.story import BROKEN_OFF, INTERRUPTED, StoryEncoder

#: JSON-RPC's own codes, and A2A's for a task that is not there or cannot be stopped.
PARSE, INVALID_REQUEST, UNKNOWN_METHOD, INVALID_PARAMS, INTERNAL = (
    -32700, -32600, -32601, -32602, -32603,
)  # fmt: skip
UNKNOWN_TASK, NOT_CANCELABLE = -32001, -32002
RpcId = str | int | None
Said = tuple[str, dict[str, Any]]


def result(rpc_id: RpcId, value: Any) -> dict[str, Any]:
    """A JSON-RPC answer."""
    return {"jsonrpc": "2.0", "id": rpc_id, "result": value}


def failure(rpc_id: RpcId, code: int, message: str) -> dict[str, Any]:
    """A JSON-RPC answer that is an error."""
    return {"jsonrpc": "2.0", "id": rpc_id, "error": {"code": code, "message": message}}


def message(text: str, *, message_id: str, task_id: str, context_id: str) -> dict[str, Any]:
    """What the agent says, as one message."""
    return {
        "kind": "message",
        "role": "agent",
        "messageId": message_id,
        "taskId": task_id,
        "contextId": context_id,
        "parts": [{"kind": "text", "text": text}],
    }


def task(*, task_id: str, context_id: str, state: str, at: str, text: str = "") -> dict[str, Any]:
    """A run as a task, with what it has said."""
    artifacts = [_artifact(task_id, text)] if text else []
    status = {"state": state, "timestamp": at}
    told = {"kind": "task", "id": task_id, "contextId": context_id}
    return {**told, "status": status, "artifacts": artifacts}


class A2aEncoder(StoryEncoder):
    """Tells one run as JSON-RPC answers: the task, its growing artifact, its final status."""

    def __init__(self, *, rpc_id: RpcId, context_id: str) -> None:
        super().__init__()
        self._rpc_id = rpc_id
        self._context_id = context_id
        #: How the run ended: completed, failed or canceled.
        self.state = "working"

    @property
    def text(self) -> str:
        """What was said, with a mark where it broke off."""
        broke_off = self.state == "failed" and bool(self._story.pieces)
        return self._story.text + (BROKEN_OFF if broke_off else "")

    def _say(self, event: Event, envelope: Envelope) -> list[Frame]:
        return self._framed(self._tell(event, envelope.run_id, envelope.at))

    def _break_off(self, envelope: Envelope) -> list[Frame]:
        return self._framed(self._tell_failure(envelope.run_id, envelope.at, INTERRUPTED))

    def _framed(self, told: Iterator[Said]) -> list[Frame]:
        return [json_frame(result(self._rpc_id, value), name=name) for name, value in told]

    def _tell(self, event: Event, run_id: str, at: str) -> Iterator[Said]:
        match event:
            case events.MessageCompleted(role="user"):
                submitted = {"state": "submitted", "at": at}
                yield "task", task(task_id=run_id, context_id=self._context_id, **submitted)
            case events.RunStarted():
                yield self._status(run_id, "working", at)
            case events.TextDelta():
                yield self._piece(run_id, event.delta)
            case events.RunFinished():
                yield self._status(run_id, "completed", at)
            case events.RunCancelled():
                yield self._status(run_id, "canceled", at)
            case events.RunFailed():
                yield from self._tell_failure(run_id, at, event.message)

    def _tell_failure(self, run_id: str, at: str, why: str) -> Iterator[Said]:
        if self._story.pieces:
            yield self._piece(run_id, BROKEN_OFF)
        yield self._status(run_id, "failed", at, why)

    def _status(self, run_id: str, state: str, at: str, why: str = "") -> Said:
        self.state = state
        status: dict[str, Any] = {"state": state, "timestamp": at}
        if why:
            said = {"message_id": f"{run_id}-status", "task_id": run_id}
            status["message"] = message(why, context_id=self._context_id, **said)
        return "task_status_update", {
            "kind": "status-update",
            "taskId": run_id,
            "contextId": self._context_id,
            "status": status,
            "final": state not in ("submitted", "working"),
        }

    def _piece(self, run_id: str, text: str) -> Said:
        return "task_artifact_update", {
            "kind": "artifact-update",
            "taskId": run_id,
            "contextId": self._context_id,
            "artifact": _artifact(run_id, text),
            "append": len(self._story.pieces) > 1,
            "lastChunk": False,
        }


def _artifact(run_id: str, text: str) -> dict[str, Any]:
    return {"artifactId": f"{run_id}-answer", "parts": [{"kind": "text", "text": text}]}
