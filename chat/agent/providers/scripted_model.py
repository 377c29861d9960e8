"""The chat model of the scripted provider."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, get_args

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

from chat.agent.errors import AgentError, Code
from chat.agent.metered import WIRE_USAGE, Metered
from chat.agent.providers import script
from chat.agent.providers.script import Script
from costs import tokens


class ScriptedChatModel(BaseChatModel):
    """Streams what the script in the last user message says; a token is a word."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(
        self, tools: Sequence[Any], **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("the scripted provider only streams")

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        tools = [tool["function"]["name"] for tool in kwargs.get("tools", ())]
        wanted = script.read(messages, tools=tools)
        prompt_tokens = _prompt_tokens(messages, kwargs.get("tools"))
        pieces = [wanted.args] if wanted.tool else script.pieces(wanted.text)
        for position, piece in enumerate(pieces):
            await asyncio.sleep(wanted.delay_ms / 1000)
            if wanted.fail and position == wanted.fail_after:
                raise _failure(wanted)
            chunk = _tool_call(wanted, len(messages)) if wanted.tool else _text(piece)
            if run_manager:
                await run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
            yield chunk
        yield _end(prompt_tokens, len(pieces), "tool_calls" if wanted.tool else "stop")


class MeteredScriptedChatModel(Metered, ScriptedChatModel):
    """The scripted provider as an agent uses it."""


def _prompt_tokens(messages: list[BaseMessage], tools: Any) -> int:
    text = "".join(str(message.text) for message in messages) + json.dumps(tools or [])
    return tokens.estimate(text) + len(messages) * tokens.MESSAGE_OVERHEAD


def _text(piece: str) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=piece))


def _tool_call(wanted: Script, position: int) -> ChatGenerationChunk:
    called = tool_call_chunk(name=wanted.tool, args=wanted.args, id=f"call_{position}", index=0)
    return ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[called]))


def _end(prompt_tokens: int, completion_tokens: int, reason: str) -> ChatGenerationChunk:
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
    message = AIMessageChunk(content="", response_metadata={WIRE_USAGE: usage})
    info = {"finish_reason": reason, "model_name": "demo"}
    return ChatGenerationChunk(message=message, generation_info=info)


def _failure(wanted: Script) -> Exception:
    if wanted.fail in get_args(Code):
        return AgentError(wanted.fail)  # type: ignore[arg-type]  # checked above
    return RuntimeError(f"the script asked for the failure {json.dumps(wanted.fail)}")
