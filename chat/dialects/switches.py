"""What the agent's manifest has switched off, and where it wants it."""

from typing import Literal

from django.conf import settings

from chat.rest import Refusal

#: What the callbacks of the manifest are called on the wire.
_TYPES = {
    "on_llm_start": "llm_start",
    "on_llm_new_token": "token",
    "on_llm_end": "llm_end",
    "on_tool_start": "tool_start",
    "on_tool_end": "tool_end",
}
#: Where it is in any case.
_USUAL = {"sse": "chat/stream", "websocket": "ws"}
Method = Literal["sse", "websocket", "a2a"]


def is_on(method: Method) -> bool:
    """Say whether a way of streaming is offered; without a manifest all are."""
    manifest = settings.ENV.manifest
    return manifest is None or bool(getattr(manifest.spec.streaming, method).enabled)


def demand(method: Method) -> None:
    """Answer as where nothing is, unless this way of streaming is offered. Raises Refusal."""
    if not is_on(method):
        raise Refusal(404, "not_found", "Not Found")


def silent_types() -> frozenset[str]:
    """The types of events that clients are not to be told."""
    manifest = settings.ENV.manifest
    if manifest is None:
        return frozenset()
    callbacks = manifest.spec.streaming.callbacks
    return frozenset(kind for name, kind in _TYPES.items() if not getattr(callbacks, name))


def elsewhere(method: Literal["sse", "websocket"]) -> list[str]:
    """The further paths where a way of streaming is offered."""
    manifest = settings.ENV.manifest
    if manifest is None:
        return []
    endpoint = str(getattr(manifest.spec.streaming, method).endpoint).lstrip("/")
    return [] if endpoint == _USUAL[method] else [endpoint]
