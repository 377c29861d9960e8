"""`create_agent`: an agent that a running Chatledger is, for programs that call it as one."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from agent_runtime import stream_agent


class RemoteAgent:
    """Answers through `/stream` and calls LangChain's handlers while it does."""

    def __init__(self, session_id: str | None = None) -> None:
        self._session_id = session_id or f"agent-{uuid4()}"

    async def arun(self, message: str, callbacks: Sequence[Any] = ()) -> str:
        """Give the answer. Raises RuntimeError when there is none."""
        payload = {"prompt": message, "session_id": self._session_id, "stream_tokens": True}
        run_id = uuid4()
        async for event in stream_agent(payload):
            if event.type == "agent_end":
                return str(event.data["output"])
            if event.type == "error":
                raise RuntimeError(event.data["error"])
            await _tell(callbacks, event.type, event.data, run_id)
        raise RuntimeError("The answer was cut off")


def create_agent(session_id: str | None = None) -> RemoteAgent:
    """Make an agent that remembers its own conversation."""
    return RemoteAgent(session_id)


async def _tell(callbacks: Sequence[Any], kind: str, data: dict[str, Any], run_id: UUID) -> None:
    calls: dict[str, tuple[str, tuple[Any, ...]]] = {
        "llm_start": ("on_llm_start", ({"name": data.get("model")}, data.get("prompts"))),
        "llm_token": ("on_llm_new_token", (data.get("token"),)),
        "tool_start": ("on_tool_start", ({"name": data.get("tool")}, data.get("input"))),
        "tool_end": ("on_tool_end", (data.get("output"),)),
    }
    if kind not in calls:
        return
    name, arguments = calls[kind]
    for callback in callbacks:
        await getattr(callback, name)(*arguments, run_id=run_id)
