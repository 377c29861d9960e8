"""Failures of a model or its provider, in words for users; the cause goes to the log only."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from chat import database

Code = Literal[
    "budget_exceeded",
    "price_unknown",
    "rate_limited",
    "authentication",
    "refused",
    "unavailable",
    "invalid_request",
    "context_too_long",
    "timeout",
    "truncated",
    "interrupted",
    "protocol",
    "step_limit",
    "unknown_model",
]

_MESSAGES: dict[Code, str] = {
    "budget_exceeded": "The budget has no room for this.",
    "price_unknown": "The price of this model is not known, so no budget allows it.",
    "rate_limited": "The provider is taking no more requests at the moment. Try again shortly.",
    "authentication": "The provider did not accept the API key, or the key may not do this.",
    "refused": "The provider's content filter refused to answer this.",
    "unavailable": "The provider cannot be reached at the moment. Try again shortly.",
    "invalid_request": "The provider did not accept the request.",
    "context_too_long": "The conversation is too long for this model.",
    "timeout": "The provider fell silent, or took too long, before the answer was complete.",
    "truncated": "The provider ended the answer in the middle.",
    "interrupted": "The connection to the provider broke before the answer was complete.",
    "protocol": "The provider sent something that could not be understood.",
    "step_limit": "The agent did not come to an end within its limit of steps.",
    "unknown_model": "This model is not available here.",
}
_PASSING: frozenset[Code] = frozenset({"rate_limited", "unavailable", "timeout", "interrupted"})
_BY_STATUS: dict[int, Code] = {
    401: "authentication",
    403: "authentication",
    408: "timeout",
    413: "context_too_long",
    429: "rate_limited",
    504: "timeout",
}
#: The names that providers give their errors, also in a stream that began with a 200.
_BY_TYPE: dict[str, Code] = {
    "authentication_error": "authentication",
    "invalid_api_key": "authentication",
    "permission_error": "authentication",
    "API_KEY_INVALID": "authentication",
    "rate_limit_error": "rate_limited",
    "rate_limit_exceeded": "rate_limited",
    "RESOURCE_EXHAUSTED": "rate_limited",
    "overloaded_error": "unavailable",
    "api_error": "unavailable",
    "server_error": "unavailable",
    "UNAVAILABLE": "unavailable",
    "timeout_error": "timeout",
    "DEADLINE_EXCEEDED": "timeout",
    "context_length_exceeded": "context_too_long",
    "request_too_large": "context_too_long",
    "content_filter": "refused",
    "content_policy_violation": "refused",
}
_BY_CLASS: tuple[tuple[str, Code], ...] = (
    ("ContextOverflow", "context_too_long"),
    ("Timeout", "timeout"),
    ("RemoteProtocolError", "interrupted"),
    ("ReadError", "interrupted"),
    ("ClientPayloadError", "interrupted"),
    ("ServerDisconnected", "interrupted"),
    ("Connect", "unavailable"),
    ("ClientOSError", "unavailable"),
    ("JSONDecodeError", "protocol"),
    ("UnknownApiResponse", "protocol"),
    ("ResponseFailed", "protocol"),
    ("GraphRecursionError", "step_limit"),
    ("APIError", "protocol"),
)
LONGEST_WAIT_S = 60.0


class AgentError(Exception):
    """The agent could not answer; `str()` is a sentence for the user."""

    def __init__(
        self, code: Code, message: str | None = None, *, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message or _MESSAGES[code])
        self.code: Code = code
        #: How long the provider asked to wait before trying again.
        self.retry_after_s = retry_after_s
        #: Whether a part of the answer had come; then it cannot be asked for again.
        self.has_output = False

    @property
    def is_passing(self) -> bool:
        """Whether it may go well later, or with another provider, and nothing has been said yet."""
        return self.code in _PASSING and not self.has_output

    @property
    def is_retryable(self) -> bool:
        """Whether to ask the same provider again at once."""
        return self.is_passing


def classify(error: BaseException, *, has_output: bool) -> AgentError | None:
    """Say in our words what a foreign exception means, or None when it is not the provider's."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, AgentError):
            return cause
        if isinstance(cause, database.Unavailable):
            return None
        code = _code_of(cause)
        if code == "unavailable" and has_output:
            code = "interrupted"
        if code:
            waits = (wait for cause in causes if (wait := _retry_after_s(cause)) is not None)
            return AgentError(code, retry_after_s=next(waits, None))
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _code_of(error: BaseException) -> Code | None:
    names = [kind.__name__ for kind in type(error).__mro__]
    if any("ContextOverflow" in name for name in names):
        return "context_too_long"
    status = _status_of(error)
    # An error of the provider's own is what its status says, whatever else it tells.
    told = _told_code(error) if status is None or status < 500 else None
    if told or status:
        return told or _of_status(status or 0)
    for part, code in _BY_CLASS:
        if any(part in name for name in names):
            return code
    return None


def _status_of(error: BaseException) -> int | None:
    """The HTTP status; a stream that had begun with 200 has none."""
    # Google's errors call it `code`.
    for value in (getattr(error, "status_code", None), getattr(error, "code", None)):
        if isinstance(value, int) and value >= 400:
            return value
    return None


def _of_status(status: int) -> Code:
    return _BY_STATUS.get(status) or ("unavailable" if status >= 500 else "invalid_request")


def _told_code(error: BaseException) -> Code | None:
    """What the body of the error says, which is more exact than its status."""
    told = (_BY_TYPE[name] for name in _names_in(_body_of(error)) if name in _BY_TYPE)
    return next(told, None)


def _body_of(error: BaseException) -> Any:
    return getattr(error, "body", None) or getattr(error, "details", None)


def _names_in(body: Any) -> Iterator[str]:
    """The values of `code`, `type`, `status` and `reason` anywhere in an error's body."""
    if isinstance(body, Mapping):
        for name, value in body.items():
            if isinstance(value, str) and name in ("code", "type", "status", "reason"):
                yield value
            else:
                yield from _names_in(value)
    elif isinstance(body, list):
        for item in body:
            yield from _names_in(item)


def _retry_after_s(error: BaseException) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        return min(float(headers.get("retry-after", "")), LONGEST_WAIT_S)
    except ValueError:
        return _google_delay_s(_body_of(error))


def _google_delay_s(body: Any) -> float | None:
    """Google says it in the body: `"retryDelay": "17s"`."""
    if isinstance(body, Mapping):
        delay = body.get("retryDelay")
        if isinstance(delay, str) and re.fullmatch(r"\d+(\.\d+)?s", delay):
            return min(float(delay[:-1]), LONGEST_WAIT_S)
    inner = body.values() if isinstance(body, Mapping) else body if isinstance(body, list) else ()
    return next((s for part in inner if (s := _google_delay_s(part)) is not None), None)
