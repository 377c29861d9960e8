"""Raw text: each piece of the answer as it comes, then `[DONE]`."""

from collections.abc import Iterator

from chat import events
from chat.events import Envelope, Event
from chat.wire.frames import Frame
from chat.wire.story import BROKEN_OFF, StoryEncoder

DONE = "[DONE]"


class TextEncoder(StoryEncoder):
    """Tells one run."""

    def _say(self, event: Event, envelope: Envelope) -> Iterator[Frame]:
        match event:
            case events.TextDelta():
                yield Frame(event.delta)
            case events.RunFinished() | events.RunCancelled():
                yield Frame(DONE)
            case events.RunFailed():
                yield from self._break_off(envelope)

    def _break_off(self, envelope: Envelope) -> Iterator[Frame]:
        yield Frame(BROKEN_OFF)
        yield Frame(DONE)
