"""The client for OpenAI and all that speak its chat completions format."""

from typing import Any

from django.conf import settings
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, AsyncStream

from chat.agent.metered import WIRE_USAGE, Metered


class MeteredChatOpenAI(Metered, ChatOpenAI):
    """ChatOpenAI that hands the provider's own usage object to the meter.

    LangChain renames and adds up its fields; the raw object is what is billed.
    """

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], *args: Any, **kwargs: Any
    ) -> ChatGenerationChunk | None:
        converted = super()._convert_chunk_to_generation_chunk(chunk, *args, **kwargs)
        if converted is not None:
            metadata = converted.message.response_metadata
            if usage := chunk.get("usage"):
                metadata[WIRE_USAGE] = usage
            if request_id := chunk.get("id"):
                metadata["id"] = request_id
        return converted


class _PlainCompletions:
    """The client's chat completions, streamed as plain dicts.

    The client would build a pydantic object of each chunk, which LangChain turns back into a dict
    at once: a quarter of all the time that a streamed token costs.
    """

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    async def create(self, **payload: Any) -> AsyncStream[object]:
        return await self._client.post(
            "/chat/completions",
            body=payload,
            cast_to=object,
            stream=True,
            stream_cls=AsyncStream[object],
        )


def build_at(model: str, *, base_url: str | None, api_key: str) -> MeteredChatOpenAI:
    """Make a chat model for an OpenAI-compatible server."""
    chat_model = MeteredChatOpenAI(
        model=model,
        base_url=base_url,
        api_key=api_key,
        temperature=settings.ENV.llm_temperature,
        max_tokens=settings.ENV.llm_max_tokens,
        timeout=settings.ENV.llm_timeout_s,
        # Retries inside the client would be requests that nobody counts.
        max_retries=0,
        # With a base URL of one's own, LangChain would not ask for usage at all.
        stream_usage=True,
        use_responses_api=False,
        # The meter has a timer of its own, which comments do not keep alive.
        stream_chunk_timeout=None,
        silence_limit_s=settings.ENV.llm_timeout_s,
        retries=settings.ENV.llm_max_retries,
    )
    chat_model.async_client = _PlainCompletions(chat_model.root_async_client)
    return chat_model
