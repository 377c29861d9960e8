"""What an API of a provider has to offer, so that one server can speak several of them."""

from typing import Any, Protocol

from tests.fakes.answers import Answer, Piece
from tests.fakes.connection import HttpRequest
from tests.fakes.conversation import Question
from tests.fakes.usage import Spelling, UsageReport

Json = dict[str, Any]


class RefusedRequestError(ValueError):
    """A request that the API answers with an error status."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Writer(Protocol):
    """Writes one streamed answer; each method returns the bytes of whole events."""

    def opening(self) -> bytes: ...

    def piece(self, piece: Piece) -> bytes: ...

    def ending(self) -> bytes: ...

    def keepalive(self) -> bytes: ...

    def malformed(self) -> bytes:
        """An event that breaks off within its JSON."""

    def failure(self) -> bytes:
        """What ends an answer that failed after its head was sent."""


class Api(Spelling, Protocol):
    """How an API reads requests and spells answers, usage and errors."""

    def read(self, request: HttpRequest, asked: Json) -> Question:
        """Raises `RefusedRequestError` for what the API would refuse."""

    def writer(self, answer: Answer, usage: UsageReport) -> Writer: ...

    def body(self, answer: Answer, text: str, usage: UsageReport) -> Json:
        """An answer that is not streamed."""

    def error(self, status: int, message: str | None = None) -> bytes: ...

    def headers(self, number: int, status: int) -> dict[str, str]:
        """The headers of the API's own for the answer to a request of that number."""
