"""The client for OpenAI and all that speak its formats: chat completions and Responses."""

from functools import wraps
from typing import Any

from django.conf import settings
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from langchain_openai.chat_models import base
from openai import AsyncOpenAI, AsyncStream

from chat.agent.metered import WIRE_USAGE, Metered

#: Models that have the Responses API alone, beside those that LangChain knows.
RESPONSES_ONLY = ("o1-pro", "o3-pro", "o3-deep-research", "o4-mini-deep-research")


class MeteredChatOpenAI(Metered, ChatOpenAI):
    """ChatOpenAI that hands the provider's own usage object to the meter.

    LangChain renames and adds up its fields; the raw object is what is billed.
    """

    finish_reasons = {"max_output_tokens": "length"}

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], *args: Any, **kwargs: Any
    ) -> ChatGenerationChunk | None:
        converted = super()._convert_chunk_to_generation_chunk(chunk, *args, **kwargs)
        if converted is not None:
            metadata = converted.message.response_metadata
            if usage := chunk.get("usage"):
                metadata[WIRE_USAGE] = _with_tier(usage, chunk.get("service_tier"))
            if request_id := chunk.get("id"):
                metadata["id"] = request_id
            if thought := _thought(chunk):
                converted.message.additional_kwargs["reasoning_content"] = thought
        return converted


def _with_tier(usage: dict[str, Any], tier: str | None) -> dict[str, Any]:
    return usage | {"service_tier": tier} if tier else usage


def _thought(chunk: dict[str, Any]) -> str:
    """What a model thinks aloud; OpenAI itself does not send it, and there are two names for it."""
    choices = chunk.get("choices")
    delta = (choices[0].get("delta") if choices else None) or {}
    return str(delta.get("reasoning_content") or delta.get("reasoning") or "")


class ResponseFailed(Exception):
    """A response ended with an error; `body` has the name that OpenAI gave it."""

    def __init__(self, code: str | None) -> None:
        super().__init__(f"The response failed: {code!r}")
        self.body = {"code": code or ""}


def _with_usage(convert: Any) -> Any:
    """Add to LangChain's chunk for the end of a response what the meter needs of it."""

    @wraps(convert)
    def converted(event: Any, *args: Any, **kwargs: Any) -> Any:
        if event.type == "error":
            raise ResponseFailed(event.code)
        if event.type == "response.failed":
            raise ResponseFailed(getattr(event.response.error, "code", None))
        *places, chunk = convert(event, *args, **kwargs)
        if event.type in ("response.completed", "response.incomplete"):
            _describe_end(chunk, event.response)
        return (*places, chunk)

    return converted


# LangChain calls it by name and not as a method, so that there is none to override.
base._convert_responses_chunk_to_generation_chunk = _with_usage(
    base._convert_responses_chunk_to_generation_chunk
)


def _describe_end(chunk: ChatGenerationChunk, response: Any) -> None:
    kinds = [item.type for item in response.output]
    reason = "tool_calls" if "function_call" in kinds else "stop"
    if response.incomplete_details:
        reason = response.incomplete_details.reason or "length"
    chunk.generation_info = {"finish_reason": reason, "model_name": response.model}
    usage = response.usage.model_dump(mode="json", exclude_none=True) if response.usage else {}
    if searches := kinds.count("web_search_call"):
        usage["web_search_requests"] = searches
    chunk.message.response_metadata[WIRE_USAGE] = _with_tier(usage, response.service_tier)


class _PlainCompletions:
    """The client's chat completions, streamed as plain dicts.

    The client would build a pydantic object of each chunk, which LangChain turns back into a dict
    at once: a quarter of all the time that a streamed token costs.
    """

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    async def create(self, **payload: Any) -> AsyncStream[object]:
        more = payload.pop("extra_body", None) or {}
        return await self._client.post(
            "/chat/completions",
            body=payload | more,
            cast_to=object,
            stream=True,
            stream_cls=AsyncStream[object],
        )


def build_at(
    model: str,
    *,
    provider: str,
    base_url: str | None,
    api_key: str,
    use_responses_api: bool | None = None,
    extra_body: dict[str, Any] | None = None,
) -> MeteredChatOpenAI:
    """Make a chat model for an OpenAI-compatible server; None asks for Responses where it must."""
    if use_responses_api is None and model.startswith(RESPONSES_ONLY):
        use_responses_api = True
    chat_model = MeteredChatOpenAI.made(
        provider=provider,
        model=model,
        base_url=base_url,
        api_key=api_key,
        timeout=settings.ENV.llm_timeout_s,
        # Retries inside the client would be requests that nobody counts.
        max_retries=0,
        # With a base URL of one's own, LangChain would not ask for usage at all.
        stream_usage=True,
        use_responses_api=use_responses_api,
        extra_body=extra_body,
        # The meter has a timer of its own, which comments do not keep alive.
        stream_chunk_timeout=None,
    )
    chat_model.async_client = _PlainCompletions(chat_model.root_async_client)
    return chat_model
