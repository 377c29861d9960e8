"""One answer of the agent: LangChain's create_agent, streamed as our own pieces."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from django.conf import settings
from django.utils import timezone
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    after_model,
    wrap_tool_call,
)
from langchain.agents.middleware.types import ToolCallRequest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool, ToolException
from langgraph.runtime import Runtime
from langgraph.types import Command

from chat.agent import catalog, fallbacks, history, prompts, toolbox
from chat.agent.errors import AgentError, classify
from chat.agent.history import Turn
from chat.agent.metered import Metered
from chat.agent.pieces import Piece
from chat.agent.providers import PROVIDERS
from chat.agent.providers.contract import Provider
from chat.agent.translate import STREAM_MODES, Translator, clean, shortened
from chat.metering import Meter

logger = logging.getLogger(__name__)

TOOL_LIMIT_S = 60.0
STEP_LIMIT = 25


async def answer(
    *,
    model: str,
    turns: Sequence[Turn],
    context: Mapping[str, Any],
    options: Mapping[str, float],
    meter: Meter,
    stored: Callable[[], Awaitable[None]],
) -> AsyncIterator[Piece]:
    """Answer the last of `turns`, piece by piece; every request is charged to `meter`.

    `context` is what the agent is told about the user, by name; `options` are wishes for this
    answer, see `Metered.adjust`. `stored` waits until all pieces so far are; no tool is called
    before, so that a call is not repeated after a crash.

    Raises AgentError. Closing the iterator ends the request to the provider.
    """
    provider, name = catalog.resolve(model)
    chat_model = provider.build(name)
    chat_model.measure_with(meter)
    chat_model.adjust(**options)
    fallback = fallbacks.middleware(catalog.fallbacks(model), meter, options)
    kept = _remembered(turns, provider)
    translator = Translator()
    tools = await toolbox.tools() if provider.has_tools else []
    stream = _graph(provider, chat_model, tools, context, _guarded_after(stored), fallback).astream(
        {"messages": history.to_langchain(kept)},
        {"recursion_limit": STEP_LIMIT},
        stream_mode=STREAM_MODES,
    )
    try:
        async with aclosing(stream):
            async for mode, payload in stream:
                for piece in translator.translate(mode, payload):
                    yield piece
    except Exception as error:
        failure = classify(error, has_output=True)
        if failure is None or failure is error:
            raise
        raise failure from error


def warm_up() -> None:
    """Load what the first answers would otherwise wait for: clients, graphs, prices."""
    for provider in PROVIDERS.values():
        if provider.is_available():
            name = provider.models()[0]
            _graph(provider, provider.build(name), toolbox.known_tools(), {})
            provider.price(name, timezone.now())
    toolbox.servers()


async def ask_for_tools() -> None:
    """Ask the servers of tools for what they have, before the first answer waits for it."""
    await toolbox.tools()


def _graph(
    provider: Provider,
    chat_model: Metered,
    tools: Sequence[BaseTool],
    context: Mapping[str, Any],
    *guards: AgentMiddleware,
) -> Any:
    return create_agent(
        chat_model,
        tools=tools,
        system_prompt=prompts.with_context(_role(provider), context),
        middleware=[*guards, _readable],
    )


def _remembered(turns: Sequence[Turn], provider: Provider) -> list[Turn]:
    manifest = settings.ENV.manifest
    if manifest is None:
        return history.within(turns, window_tokens=provider.window_tokens)
    memory = manifest.spec.memory
    window_tokens = min(provider.window_tokens, memory.max_token_limit or provider.window_tokens)
    exchanges = memory.window_size if memory.enabled else 0
    return history.within(history.newest(turns, exchanges), window_tokens=window_tokens)


def _role(provider: Provider) -> str:
    manifest = settings.ENV.manifest
    return manifest.spec.role if manifest else prompts.read(provider.prompt)


@after_model(can_jump_to=["model"])
def _readable(state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
    """Tell a model that its tool call could not be read; the graph would end without an answer."""
    last = state["messages"][-1]
    if not isinstance(last, AIMessage) or last.tool_calls or not last.invalid_tool_calls:
        return None
    told = [
        ToolMessage(
            "The arguments are not a JSON object.",
            tool_call_id=called["id"] or "",
            name=called["name"],
            status="error",
        )
        for called in last.invalid_tool_calls
    ]
    return {"messages": told, "jump_to": "model"}


def _guarded_after(stored: Callable[[], Awaitable[None]]) -> AgentMiddleware:
    """A tool that fails or hangs is a result the model can read, not the end of the run."""

    @wrap_tool_call
    async def guarded(
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        await stored()
        try:
            async with asyncio.timeout(TOOL_LIMIT_S):
                return _as_text(await handler(request))
        except ToolException as error:
            return _failed(request, str(error))
        except TimeoutError:
            return _failed(request, f"The tool gave no answer within {TOOL_LIMIT_S:.0f} s.")
        except Exception:
            logger.exception("Tool %r failed", request.tool_call["name"])
            return _failed(request, "The tool failed.")

    return guarded


def _as_text(result: ToolMessage | Command[Any]) -> ToolMessage | Command[Any]:
    """Give the model what people are shown: not every provider takes more than text, or all."""
    if isinstance(result, ToolMessage):
        result.content = shortened(clean(str(result.text))) or "(nothing)"
    return result


def _failed(request: ToolCallRequest, text: str) -> ToolMessage:
    called = request.tool_call
    return ToolMessage(
        shortened(clean(text)), tool_call_id=called["id"], name=called["name"], status="error"
    )


__all__ = ["AgentError", "Turn", "answer"]
