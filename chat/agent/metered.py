"""The tap on a chat model: each request becomes a model call that is opened, counted, closed.

LangChain's callbacks do not close a call that was cancelled, and its usage is lost with a stream
that was cut; a `finally` around the stream itself sees every end. Only what comes before the
first piece is tried again, each time as a call of its own.
"""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from itertools import takewhile
from typing import Any, ClassVar, Self

from django.conf import settings
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import agenerate_from_stream
from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from chat.agent import breakers
from chat.agent.errors import AgentError, classify
from chat.agent.silence import until_silent
from chat.agent.translate import reasoning_in
from chat.call_meter import CallMeter, Status, Target
from chat.metering import Meter
from costs import budgets, wire_usage
from costs.wire_usage import WireFormat

#: Where a chat model class puts the provider's own usage object, in the metadata of a chunk.
WIRE_USAGE = "wire_usage"
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


class Metered(BaseChatModel):
    """Mixin in front of a chat model class; `meter` must be set before the first request."""

    usage_format: ClassVar[WireFormat] = wire_usage.OPENAI
    #: The provider's words for how an answer ended, in OpenAI's.
    finish_reasons: ClassVar[Mapping[str, str]] = {}

    #: The field of the chat model that holds how many tokens an answer may have.
    limit_field: ClassVar[str] = "max_tokens"

    #: Whose outages to take note of; empty for what has none.
    provider: str = ""
    #: How long the provider may be silent, before and between pieces, and take in all.
    silence_limit_s: float = 30.0
    total_limit_s: float = 600.0
    retries: int = 3
    #: None where the model has one of its own and takes no other.
    temperature: float | None = None
    _meter: Meter | None = PrivateAttr(default=None)
    _target: Target | None = PrivateAttr(default=None)

    @classmethod
    def made(cls, *, provider: str, model: str, **more: Any) -> Self:
        """Make a chat model with the limits that the environment sets."""
        env = settings.ENV
        made = cls(
            provider=provider,
            model=model,
            temperature=env.llm_temperature,
            max_tokens=env.llm_max_tokens,
            silence_limit_s=env.llm_timeout_s,
            total_limit_s=env.llm_call_limit_s,
            retries=env.llm_max_retries,
            **more,
        )
        if (made.profile or {}).get("temperature") is False:
            made.temperature = None
        return made

    def measure_with(self, meter: Meter, target: Target | None = None) -> None:
        """Charge the requests of this model object to `meter`, for its model or for another one."""
        self._meter, self._target = meter, target

    def adjust(self, *, temperature: float | None = None, max_tokens: float | None = None) -> None:
        """Follow the wishes for one answer, as far as the model and the operator allow."""
        if temperature is not None and self.temperature is not None:
            self.temperature = temperature
        allowed = getattr(self, self.limit_field, None)
        if max_tokens is not None and allowed is not None:
            setattr(self, self.limit_field, min(int(max_tokens), allowed))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        # Whoever does not stream is counted and tried again in the same way.
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for retry in range(self.retries + 1):
            attempt = self._attempt(messages, stop=stop, run_manager=run_manager, **kwargs)
            try:
                async with aclosing(attempt):
                    async for chunk in attempt:
                        yield chunk
            except AgentError as failure:
                if not failure.is_retryable or retry == self.retries:
                    raise
                await asyncio.sleep(_pause_s(retry, failure))
            else:
                return

    async def _attempt(
        self, messages: list[BaseMessage], **kwargs: Any
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        """Ask once, and close the call whatever happens. Raises AgentError."""
        async with breakers.watching(self.provider):
            call = await self._open_call(messages, kwargs.get("tools"))
            source = super()._astream(messages, **kwargs)
            try:
                async with aclosing(source):  # type: ignore[type-var]
                    async for chunk in until_silent(
                        source, self.silence_limit_s, total_limit_s=self.total_limit_s
                    ):
                        self._count(call, chunk)
                        yield chunk
                        await call.keep_to_budgets()
            except (asyncio.CancelledError, GeneratorExit):
                call.close(Status.CANCELLED)
                raise
            except budgets.Exceeded as error:
                call.close(Status.CANCELLED, error_code="budget_exceeded")
                raise AgentError("budget_exceeded", str(error)) from error
            except Exception as error:
                failure = classify(error, has_output=call.has_output)
                call.close(Status.FAILED, error_code=failure.code if failure else "internal")
                if failure is None:
                    raise
                failure.has_output = call.has_output
                if failure is error:
                    raise
                raise failure from error
            self._check_end(call)

    def _check_end(self, call: CallMeter) -> None:
        """Close a call whose stream is over. Raises AgentError if it has no end or no answer."""
        if not call.finish_reason:
            call.close(Status.TRUNCATED, error_code="truncated")
            raise AgentError("truncated")
        if call.finish_reason == "content_filter" and not call.has_output:
            call.close(Status.FAILED, error_code="refused")
            raise AgentError("refused")
        call.close(Status.COMPLETE)

    def _count(self, call: CallMeter, chunk: ChatGenerationChunk) -> None:
        metadata = chunk.message.response_metadata
        found = metadata | (chunk.generation_info or {})
        if reason := found.get("finish_reason") or found.get("stop_reason"):
            call.finish_reason = self.finish_reasons.get(reason, reason)
        call.served_model = found.get("model_name") or call.served_model
        call.provider_request_id = found.get("id") or call.provider_request_id
        call.output(_new_text(chunk))
        # What comes with a piece counts this piece too.
        if usage := metadata.pop(WIRE_USAGE, None):
            call.provider_usage(usage, self.usage_format)
        call.keep()

    async def _open_call(self, messages: list[BaseMessage], tools: Any) -> CallMeter:
        if self._meter is None:
            raise RuntimeError("measure_with() was not called: the request would not be charged")
        prompt = "".join(_text_sent(message) for message in messages)
        if tools:
            prompt += json.dumps(tools)
        try:
            return await self._meter.open_call(
                prompt=prompt,
                messages=len(messages),
                most_tokens=getattr(self, self.limit_field, None) or settings.ENV.llm_max_tokens,
                tool=",".join(_tools_answered(messages)),
                target=self._target,
            )
        except budgets.Exceeded as error:
            raise AgentError("budget_exceeded", str(error)) from error
        except budgets.PriceUnknown as error:
            raise AgentError("price_unknown") from error


def _tools_answered(messages: Sequence[BaseMessage]) -> list[str]:
    """The tools whose results are the end of the conversation, each once."""
    results = takewhile(lambda message: isinstance(message, ToolMessage), reversed(messages))
    return sorted({message.name or "" for message in results})


def _text_sent(message: BaseMessage) -> str:
    called = getattr(message, "tool_calls", None)
    return str(message.text) + (json.dumps(called) if called else "")


def _new_text(chunk: ChatGenerationChunk) -> str:
    message = chunk.message
    text = str(message.text) + reasoning_in(message)
    for called in getattr(message, "tool_call_chunks", ()):
        text += (called.get("name") or "") + (called.get("args") or "")
    return text


def _pause_s(retry: int, failure: AgentError) -> float:
    if failure.retry_after_s is not None:
        return failure.retry_after_s
    pause_s = min(FIRST_PAUSE_S * 2.0**retry, LONGEST_PAUSE_S)
    return float(pause_s * random.uniform(0.5, 1))
