"""Handlers that LangChain calls while an agent works, for streams, consoles and metrics."""

import asyncio
import time
from typing import Any

from langchain_core.callbacks import AsyncCallbackHandler
from streaming_utils import StreamEvent, StreamEventType


class BaseStreamCallback(AsyncCallbackHandler):
    """Turns what LangChain tells into events: into `events`, and into a queue where one is set."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[StreamEvent] = []
        self._queue: asyncio.Queue[StreamEvent] | None = None

    def set_queue(self, queue: "asyncio.Queue[StreamEvent]") -> None:
        """Put events into this queue too, from now on."""
        self._queue = queue

    async def emit_event(self, event_type: str, data: dict[str, Any]) -> None:
        """Make an event."""
        event = StreamEvent(event_type, data)
        self.events.append(event)
        if self._queue:
            await self._queue.put(event)

    async def on_llm_start(self, serialized: Any, prompts: list[str], **kwargs: Any) -> None:
        model = (serialized or {}).get("name", "unknown")
        await self.emit_event(StreamEventType.LLM_START, {"prompts": prompts[:1], "model": model})

    async def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        await self.emit_event(StreamEventType.LLM_TOKEN, {"token": token})

    async def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        count = len(getattr(response, "generations", []) or [])
        await self.emit_event(
            StreamEventType.LLM_END, {"status": "completed", "generations": count}
        )

    async def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        await self._failed(error, "llm")

    async def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
        name = (serialized or {}).get("name", "unknown")
        await self.emit_event(StreamEventType.TOOL_START, {"tool": name, "input": input_str[:200]})

    async def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        await self.emit_event(StreamEventType.TOOL_END, {"output": str(output)[:200]})

    async def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
        await self._failed(error, "tool")

    async def _failed(self, error: BaseException, source: str) -> None:
        told = {"error": str(error), "type": type(error).__name__, "source": source}
        await self.emit_event(StreamEventType.ERROR, told)


class QueueCallback(BaseStreamCallback):
    """Puts events into a queue."""

    def __init__(self, queue: "asyncio.Queue[StreamEvent]") -> None:
        super().__init__()
        self.set_queue(queue)


class ConsoleStreamCallback(BaseStreamCallback):
    """Prints tokens as they come, and one line for everything else."""

    async def emit_event(self, event_type: str, data: dict[str, Any]) -> None:
        await super().emit_event(event_type, data)
        if event_type == StreamEventType.LLM_TOKEN:
            print(data["token"], end="", flush=True)
        else:
            print(f"[{event_type}] {data}", flush=True)


class MetricsCallback(BaseStreamCallback):
    """Counts."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics: dict[str, Any] = {
            "tokens": 0, "tool_calls": 0, "errors": 0, "start_time": None, "end_time": None,
        }  # fmt: skip

    async def emit_event(self, event_type: str, data: dict[str, Any]) -> None:
        await super().emit_event(event_type, data)
        counted = {
            StreamEventType.LLM_TOKEN: "tokens",
            StreamEventType.TOOL_START: "tool_calls",
            StreamEventType.ERROR: "errors",
        }
        if event_type in counted:
            self.metrics[counted[StreamEventType(event_type)]] += 1
        now = time.time()
        self.metrics["start_time"] = self.metrics["start_time"] or now
        self.metrics["end_time"] = now

    def get_metrics(self) -> dict[str, Any]:
        """The counts so far."""
        return dict(self.metrics)


class CostTracker:
    """Tokens and USD, added up."""

    def __init__(self) -> None:
        self.prompt_tokens = self.completion_tokens = 0
        self.total_cost = 0.0
        self.model: str | None = None

    def add(self, summary: dict[str, Any]) -> None:
        """Add what one run has cost."""
        self.prompt_tokens += summary["prompt_tokens"]
        self.completion_tokens += summary["completion_tokens"]
        self.total_cost += summary["total_cost"]
        self.model = summary["model"] or self.model

    def get_summary(self) -> dict[str, Any]:
        """The five numbers so far."""
        return {
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_cost": round(self.total_cost, 6),
            "model": self.model,
        }


def create_callbacks(
    enable_console: bool = False,
    enable_metrics: bool = True,
    event_queue: "asyncio.Queue[StreamEvent] | None" = None,
) -> list[BaseStreamCallback]:
    """Make the handlers that are wanted."""
    made: list[BaseStreamCallback] = []
    if enable_console:
        made.append(ConsoleStreamCallback())
    if enable_metrics:
        made.append(MetricsCallback())
    if event_queue is not None:
        made.append(QueueCallback(event_queue))
    return made
