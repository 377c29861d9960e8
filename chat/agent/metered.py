"""The tap on a chat model: each request becomes a model call that is opened, counted, closed.

LangChain's callbacks do not close a call that was cancelled, and its usage is lost with a stream
that was cut; a `finally` around the stream itself sees every end. Only what comes before the
first piece is tried again, each time as a call of its own.
"""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from pydantic import PrivateAttr

from chat.agent.errors import AgentError, classify
from chat.metering import CallMeter, Meter, Status

WIRE_USAGE = "wire_usage"
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


class Metered(BaseChatModel):
    """Mixin in front of a chat model class; `meter` must be set before the first request."""

    #: How long the provider may be silent, before and between pieces.
    silence_limit_s: float = 30.0
    retries: int = 3
    _meter: Meter | None = PrivateAttr(default=None)

    def measure_with(self, meter: Meter) -> None:
        """Charge the requests of this model object to `meter`."""
        self._meter = meter

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for retry in range(self.retries + 1):
            call = await self._open_call(messages, kwargs.get("tools"))
            source = super()._astream(messages, stop=stop, run_manager=run_manager, **kwargs)
            try:
                async with aclosing(self._counted(call, source)) as counted:
                    async for chunk in counted:
                        yield chunk
            except AgentError as failure:
                if call.has_output or not failure.is_retryable or retry == self.retries:
                    raise
                await asyncio.sleep(_pause_s(retry, failure))
            else:
                return

    async def _counted(
        self, call: CallMeter, source: AsyncIterator[ChatGenerationChunk]
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        """Pass the chunks on, and close the call whatever happens. Raises AgentError."""
        try:
            async with aclosing(source):  # type: ignore[type-var]
                async for chunk in _until_silent(source, self.silence_limit_s):
                    _count(call, chunk)
                    yield chunk
        except (asyncio.CancelledError, GeneratorExit):
            call.close(Status.CANCELLED)
            raise
        except Exception as error:
            failure = classify(error, has_output=call.has_output)
            call.close(Status.FAILED, error_code=failure.code if failure else "internal")
            if failure is None:
                raise
            raise failure from error
        if not call.finish_reason:
            call.close(Status.TRUNCATED, error_code="truncated")
            raise AgentError("truncated")
        call.close(Status.COMPLETE)

    async def _open_call(self, messages: list[BaseMessage], tools: Any) -> CallMeter:
        if self._meter is None:
            raise RuntimeError("measure_with() was not called: the request would not be charged")
        prompt = "".join(_text_sent(message) for message in messages)
        if tools:
            prompt += json.dumps(tools)
        return await self._meter.open_call(prompt=prompt, messages=len(messages))


def _text_sent(message: BaseMessage) -> str:
    called = getattr(message, "tool_calls", None)
    return str(message.text) + (json.dumps(called) if called else "")


class _Silence:
    """Ends the wait of the task that made it when nothing has come for `limit_s`.

    The client's own timeout is kept alive by comments, and a timer for each token would cost more
    than the token: this one looks now and then how long ago the last one was.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._heard_at = self._loop.time()
        self._is_waiting = False
        self.is_broken = False
        self._timer = self._loop.call_later(limit_s, self._look)

    async def next_of(self, source: AsyncIterator[ChatGenerationChunk]) -> ChatGenerationChunk:
        self._is_waiting = True
        self._heard_at = self._loop.time()
        chunk = await anext(source)
        self._is_waiting = False
        return chunk

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        left_s = self._heard_at + self._limit_s - self._loop.time()
        if not self._is_waiting:
            left_s = self._limit_s
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        elif self._task:
            self.is_broken = True
            self._task.cancel()


async def _until_silent(
    source: AsyncIterator[ChatGenerationChunk], limit_s: float
) -> AsyncGenerator[ChatGenerationChunk, None]:
    """Pass the chunks on. Raises TimeoutError when nothing comes for `limit_s`."""
    silence = _Silence(limit_s)
    try:
        while True:
            yield await silence.next_of(source)
    except StopAsyncIteration:
        return
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not silence.is_broken or task is None:
            raise
        task.uncancel()
        raise TimeoutError from None
    finally:
        silence.stop()


def _count(call: CallMeter, chunk: ChatGenerationChunk) -> None:
    metadata = chunk.message.response_metadata
    if usage := metadata.pop(WIRE_USAGE, None):
        call.provider_usage(usage)
    info = chunk.generation_info or {}
    call.finish_reason = info.get("finish_reason") or call.finish_reason
    call.served_model = info.get("model_name") or call.served_model
    call.service_tier = info.get("service_tier") or call.service_tier
    call.provider_request_id = metadata.get("id") or call.provider_request_id
    call.output(_new_text(chunk))


def _new_text(chunk: ChatGenerationChunk) -> str:
    message = chunk.message
    text = str(message.text)
    if isinstance(message, AIMessageChunk):
        text += str(message.additional_kwargs.get("reasoning_content") or "")
        for called in message.tool_call_chunks:
            text += (called.get("name") or "") + (called.get("args") or "")
    return text


def _pause_s(retry: int, failure: AgentError) -> float:
    if failure.retry_after_s is not None:
        return failure.retry_after_s
    pause_s = min(FIRST_PAUSE_S * 2.0**retry, LONGEST_PAUSE_S)
    return float(pause_s * random.uniform(0.5, 1))
