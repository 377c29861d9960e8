"""Raw text: each piece of the answer as it comes, then `[DONE]`."""

from chat import events
from chat.events import Envelope
from chat.wire.frames import Frame

DONE = "[DONE]"
BROKEN_OFF = "\n[Error: Stream interrupted]"


class TextEncoder:
    """Tells one run."""

    def __init__(self) -> None:
        self._has_spoken = False
        self.is_over = False

    def encode(self, envelope: Envelope) -> list[Frame]:
        if self.is_over:
            return []
        event = envelope.event
        if isinstance(event, events.TextDelta):
            self._has_spoken = True
            return [Frame(event.delta)]
        is_retracted = isinstance(event, events.AttemptStarted) and self._has_spoken
        if not envelope.is_terminal and not is_retracted:
            return []
        self.is_over = True
        is_whole = isinstance(event, events.RunFinished | events.RunCancelled)
        return [Frame(DONE)] if is_whole else [Frame(BROKEN_OFF), Frame(DONE)]
