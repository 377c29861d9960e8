"""What the provider remembers of each request, in memory and as lines of a log file."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO

Json = dict[str, Any]

KEPT_HEADERS = (
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "content-type",
    "openai-organization",
    "openai-project",
    "user-agent",
    "x-goog-api-client",
    "x-stainless-async",
    "x-stainless-lang",
    "x-stainless-read-timeout",
    "x-stainless-retry-count",
)
KEY_HEADERS = ("authorization", "x-api-key", "x-goog-api-key")
#: What stands in no line of the log file.
UNWRITTEN = ("pieces", "bill")


@dataclass(slots=True)
class RequestRecord:
    """One request: what came in, what went out and how it ended.

    `state` goes from `received` over `streaming` (and `faulting`) to `ended`. `outcome` is then
    `complete`, `faulted`, `rejected`, `client_closed` or `server_closed`. Times ending in `_at`
    are wall clock seconds, those ending in `_monotonic` belong to the machine's monotonic clock.
    """

    number: int
    request: Json
    headers: dict[str, str]
    authorized: bool
    path: str = ""
    model: str = ""
    user_text: str = ""
    state: str = "received"
    outcome: str | None = None
    status: int | None = None
    fault: str | None = None
    tokens_sent: int = 0
    usage_sent: Json | None = None
    received_at: float = field(default_factory=time.time)
    received_monotonic: float = field(default_factory=time.monotonic)
    first_token_at: float | None = None
    first_token_monotonic: float | None = None
    ended_at: float | None = None
    ended_monotonic: float | None = None
    pieces: list[str] = field(default_factory=list, repr=False)
    bill: Callable[[], dict[str, int]] | None = field(default=None, repr=False)

    @property
    def billed(self) -> dict[str, int]:
        """What the provider charges by token class; nothing unless it began to answer."""
        return self.bill() if self.bill is not None and self.status == 200 else {}

    @property
    def text_sent(self) -> str:
        """The text sent so far; halves of a surrogate pair sent one by one are joined again."""
        joined = "".join(self.pieces)
        return joined.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")

    def as_json(self, *, with_request: bool = True) -> Json:
        left_out = UNWRITTEN if with_request else (*UNWRITTEN, "request")
        names = [item.name for item in fields(self) if item.name not in left_out]
        values = {name: getattr(self, name) for name in names}
        return {**values, "billed": self.billed, "text_sent": self.text_sent}


class RequestLog:
    """The records in order of arrival; every change of state can also go to a file."""

    def __init__(self, path: Path | None = None) -> None:
        self.records: list[RequestRecord] = []
        self.last_number = 0
        self.file: TextIO | None = None
        if path is not None:
            self.file = path.open("a", encoding="utf-8")

    def open_record(self, path: str, request: Json, headers: dict[str, str]) -> RequestRecord:
        """Begin the record of a request that just arrived."""
        self.last_number += 1
        kept = {name: headers[name] for name in KEPT_HEADERS if name in headers}
        authorized = any(name in headers for name in KEY_HEADERS)
        record = RequestRecord(self.last_number, request, kept, authorized, path)
        self.records.append(record)
        self.write(record, with_request=True)
        return record

    def first_token(self, record: RequestRecord) -> None:
        record.state = "streaming"
        record.first_token_at, record.first_token_monotonic = time.time(), time.monotonic()
        self.write(record)

    def fault(self, record: RequestRecord, label: str) -> None:
        record.state, record.fault = "faulting", label
        self.write(record)

    def end(self, record: RequestRecord, outcome: str) -> None:
        record.state, record.outcome = "ended", outcome
        record.ended_at, record.ended_monotonic = time.time(), time.monotonic()
        self.write(record)

    def write(self, record: RequestRecord, *, with_request: bool = False) -> None:
        """One line; only the first line of a request repeats what was asked."""
        if self.file is not None:
            self.file.write(json.dumps(record.as_json(with_request=with_request)) + "\n")
            self.file.flush()

    def clear(self) -> None:
        """Forget the records; numbers go on, so that no two answers ever look alike."""
        self.records.clear()

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


def read_log(path: Path) -> list[Json]:
    """The latest state of each request in a log file, in order of arrival."""
    latest: dict[int, Json] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        latest[entry["number"]] = {**latest.get(entry["number"], {}), **entry}
    return list(latest.values())
