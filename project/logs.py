"""How a log line looks: text for people, JSON for programs; neither can be forged by content.

A record may have `fields`, a dict given as `extra={"fields": …}`: in text they stand behind the
message as `name=value`, in JSON each is a key of the line.
"""

import json
import logging
import re
from typing import Any

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class TextFormatter(logging.Formatter):
    """One readable line; control characters of the content are shown as escapes."""

    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        pairs = [f"{name}={value}" for name, value in _fields(record).items()]
        record.message = _harmless(" ".join([record.message, *pairs])).replace("\n", "\\n")
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return _harmless(super().formatException(ei))


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    default_msec_format = "%s.%03d"

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class NoHealthChecks(logging.Filter):
    """Keeps back that a health check was answered with an error: who asked was told why."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        return not getattr(request, "path", "").startswith("/health")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "fields", {})


def _harmless(text: str) -> str:
    return _CONTROL.sub(lambda found: ascii(found.group())[1:-1], text)
