"""Failures of a model or its provider, in words for users; the cause goes to the log only."""

from collections.abc import Iterator
from typing import Literal

Code = Literal[
    "rate_limited",
    "refused",
    "unavailable",
    "invalid_request",
    "timeout",
    "truncated",
    "interrupted",
    "protocol",
    "step_limit",
    "unknown_model",
]

_MESSAGES: dict[Code, str] = {
    "rate_limited": "The provider is taking no more requests at the moment. Try again shortly.",
    "refused": "The provider refused the request. The API key or its rights need attention.",
    "unavailable": "The provider cannot be reached at the moment. Try again shortly.",
    "invalid_request": "The provider did not accept the request.",
    "timeout": "The provider fell silent before the answer was complete.",
    "truncated": "The provider ended the answer in the middle.",
    "interrupted": "The connection to the provider broke before the answer was complete.",
    "protocol": "The provider sent something that could not be understood.",
    "step_limit": "The agent did not come to an end within its limit of steps.",
    "unknown_model": "This model is not available here.",
}
_RETRYABLE: frozenset[Code] = frozenset({"rate_limited", "unavailable", "timeout", "interrupted"})
_BY_STATUS: dict[int, Code] = {401: "refused", 403: "refused", 408: "timeout", 429: "rate_limited"}
_BY_CLASS: tuple[tuple[str, Code], ...] = (
    ("Timeout", "timeout"),
    ("RemoteProtocolError", "interrupted"),
    ("ReadError", "interrupted"),
    ("Connect", "unavailable"),
    ("Connection", "unavailable"),
    ("JSONDecodeError", "protocol"),
    ("GraphRecursionError", "step_limit"),
    ("APIError", "protocol"),
)


class AgentError(Exception):
    """The agent could not answer; `str()` is a sentence for the user."""

    def __init__(self, code: Code, *, retry_after_s: float | None = None) -> None:
        super().__init__(_MESSAGES[code])
        self.code: Code = code
        #: How long the provider asked to wait before trying again.
        self.retry_after_s = retry_after_s

    @property
    def is_retryable(self) -> bool:
        return self.code in _RETRYABLE


def classify(error: BaseException, *, has_output: bool) -> AgentError | None:
    """Say in our words what a foreign exception means, or None when it is not the provider's."""
    for cause in _causes(error):
        if isinstance(cause, AgentError):
            return cause
        code = _code_of(cause)
        if code == "unavailable" and has_output:
            code = "interrupted"
        if code:
            return AgentError(code, retry_after_s=_retry_after_s(cause))
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _code_of(error: BaseException) -> Code | None:
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        known = _BY_STATUS.get(status)
        return known or ("unavailable" if status >= 500 else "invalid_request")
    names = [kind.__name__ for kind in type(error).__mro__]
    for part, code in _BY_CLASS:
        if any(part in name for name in names):
            return code
    return None


def _retry_after_s(error: BaseException) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        return min(float(headers.get("retry-after", "")), 60.0)
    except ValueError:
        return None
