"""The client for Google's Gemini API."""

from functools import lru_cache, wraps
from typing import Any, ClassVar

from django.conf import settings
from google.genai.types import FinishReason, GenerateContentResponse
from langchain_core.outputs import ChatResult
from langchain_google_genai import ChatGoogleGenerativeAI, chat_models

from chat.agent.metered import WIRE_USAGE, Metered
from costs import wire_usage
from costs.wire_usage import WireFormat

_FILTERED = (
    FinishReason.SAFETY,
    FinishReason.RECITATION,
    FinishReason.LANGUAGE,
    FinishReason.BLOCKLIST,
    FinishReason.PROHIBITED_CONTENT,
    FinishReason.SPII,
    FinishReason.IMAGE_SAFETY,
)


class MeteredChatGemini(Metered, ChatGoogleGenerativeAI):
    """ChatGoogleGenerativeAI whose chunks carry the provider's own usage object, see below."""

    usage_format: ClassVar[WireFormat] = wire_usage.GEMINI
    limit_field = "max_output_tokens"
    #: One try: retries inside the client would be requests that nobody counts. LangChain's own
    #: field is also called `retries`, and would take how often Metered asks.
    max_retries: int = 1
    finish_reasons = {
        "STOP": "stop",
        "MAX_TOKENS": "length",
        **{reason.name: "content_filter" for reason in _FILTERED},
    }


def _with_usage(convert: Any) -> Any:
    """Add the usage as it was sent: LangChain keeps differences, and leaves out who spoke."""

    @wraps(convert)
    def converted(response: GenerateContentResponse, *args: Any, **kwargs: Any) -> ChatResult:
        result: ChatResult = convert(response, *args, **kwargs)
        metadata = result.generations[0].message.response_metadata
        metadata[WIRE_USAGE] = _as_sent(response)
        metadata["id"] = response.response_id
        if response.prompt_feedback and response.prompt_feedback.block_reason:
            result.generations[0].generation_info = {"finish_reason": "SAFETY"}
        return result

    return converted


# There is no method to override between the response and LangChain's chunk.
chat_models._response_to_result = _with_usage(chat_models._response_to_result)


def _as_sent(response: GenerateContentResponse) -> dict[str, Any]:
    usage = response.usage_metadata
    sent = usage.model_dump(mode="json", by_alias=True, exclude_none=True) if usage else {}
    for candidate in response.candidates or []:
        grounding = candidate.grounding_metadata
        if grounding and grounding.web_search_queries:
            queries = len(grounding.web_search_queries)
            # Before Gemini 3 it is the answer that is billed, and not each query for it.
            is_per_query = (response.model_version or "") >= "gemini-3"
            sent["web_search_requests"] = queries if is_per_query else 1
    return sent


@lru_cache(maxsize=32)
def _made(model: str, base_url: str | None, **more: Any) -> MeteredChatGemini:
    return MeteredChatGemini.made(
        provider="gemini",
        model=model,
        base_url=base_url,
        vertexai=False,
        **more,
    )


def build(model: str) -> MeteredChatGemini:
    """Make a chat model of Google's; its client takes a quarter of a second, so it is shared."""
    env = settings.ENV
    made = _made(model, env.gemini_base_url or None, api_key=env.gemini_api_key)
    return made.model_copy()
