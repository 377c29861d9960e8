"""What the log says of streams: when they start, their first chunk, how they end, each event.

Lines carry ids, counts and times as fields of their own, and never a word of what was said.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from chat.event_log import Place
from chat.events import CostUpdated, Envelope

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class StreamLog:
    """Counts and logs what one attempt of a run streams."""

    place: Place
    #: Pieces of the answer's text as the model sent them, and their characters.
    total_chunks: int = 0
    total_chars: int = 0
    _first_chunk_latency_s: float | None = None
    _began_at: float = field(default_factory=time.monotonic)

    def started(self, *, model: str) -> None:
        """Say that clients are told of the stream from now on."""
        self._say("stream started", model=model)

    def first_chunk(self) -> None:
        """Say that the first output of any kind has come: text, reasoning or a tool call."""
        self._first_chunk_latency_s = self._elapsed_s()
        self._say("stream has its first chunk", first_chunk_latency_s=self._first_chunk_latency_s)

    def count(self, text: str) -> None:
        """Count a chunk of the answer's text."""
        self.total_chunks += 1
        self.total_chars += len(text)

    def ended(self, by: str, cost: CostUpdated | None) -> None:
        """Say by which event the stream ended, and what the run has cost over all its attempts."""
        self._say(
            "stream ended",
            status=by.removeprefix("run."),
            total_chunks=self.total_chunks,
            total_chars=self.total_chars,
            first_chunk_latency_s=self._first_chunk_latency_s,
            duration_s=self._elapsed_s(),
            prompt_tokens=cost.prompt_tokens if cost else 0,
            completion_tokens=cost.completion_tokens if cost else 0,
            cost_usd=cost.total if cost else None,
        )

    def _elapsed_s(self) -> float:
        return round(time.monotonic() - self._began_at, 3)

    def _say(self, message: str, **fields: object) -> None:
        logger.info(message, extra={"fields": {**_where(self.place), **fields}})


def note_events(envelopes: Iterable[Envelope]) -> None:
    """Log each event that clients are told, at DEBUG."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    for envelope in envelopes:
        what = {"seq": envelope.seq, "type": envelope.type, "size_chars": len(envelope.body)}
        logger.debug("stream event", extra={"fields": {**_where(envelope), **what}})


def _where(place: Place | Envelope) -> dict[str, object]:
    return {
        "session_id": place.session_id,
        "run_id": str(place.run_id),
        "attempt": place.attempt,
    }
