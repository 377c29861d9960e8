"""The client for Anthropic's Messages API."""

from typing import Any, ClassVar

from anthropic.types import RawMessageStreamEvent
from django.conf import settings
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessageChunk

from chat.agent.metered import WIRE_USAGE, Metered
from costs import wire_usage
from costs.wire_usage import WireFormat


class MeteredChatAnthropic(Metered, ChatAnthropic):
    """ChatAnthropic that hands the provider's own usage objects to the meter.

    LangChain drops the one at the start, which alone knows the prompt of a stream that is cut, and
    adds up those at the end, which are cumulative.
    """

    usage_format: ClassVar[WireFormat] = wire_usage.ANTHROPIC
    finish_reasons = {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "tool_use": "tool_calls",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "refusal": "content_filter",
    }

    def _make_message_chunk_from_anthropic_event(
        self, event: RawMessageStreamEvent, **kwargs: Any
    ) -> tuple[AIMessageChunk | None, RawMessageStreamEvent | None]:
        chunk, block_start = super()._make_message_chunk_from_anthropic_event(event, **kwargs)
        if chunk is not None and event.type == "message_start":
            chunk.response_metadata["id"] = event.message.id
            chunk.response_metadata[WIRE_USAGE] = _as_sent(event.message.usage)
        elif chunk is not None and event.type == "message_delta":
            chunk.response_metadata[WIRE_USAGE] = _as_sent(event.usage)
        return chunk, block_start


def _as_sent(usage: Any) -> dict[str, Any]:
    """The usage object as it came; what only speaks Anthropic's format may send none."""
    return usage.model_dump(mode="json", exclude_none=True) if usage else {}


def build(model: str) -> MeteredChatAnthropic:
    """Make a chat model of Anthropic's."""
    env = settings.ENV
    return MeteredChatAnthropic.made(
        provider="anthropic",
        model=model,
        base_url=env.anthropic_base_url,
        api_key=env.anthropic_api_key,
        timeout=env.llm_timeout_s,
        # Retries inside the client would be requests that nobody counts.
        max_retries=0,
    )
