"""SSE: whatever an event says, two parsers that do not know each other read it as it was sent."""

import json
import re
from dataclasses import dataclass

import pytest
from asgiref.sync import async_to_sync
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from chat import sse
from chat.events import Custom, Envelope, MessageCompleted, RunFailed, TextDelta
from chat.models import ChatSession
from chat.parts import TextPart
from chat.reading import Reading

FORGERIES = ["\n\n", "\r", "\r\n", "data: x", "event: done", "id: 1\n", ":", "\ufeff", " "]
FORGERIES += ["\u2028", "\u2029", "\x85", "\x0b", "\x1c", "\0", "retry: 1\n", "</script>"]
#: All that JSON can say and a database can store: no halves of surrogate pairs.
ANYTHING = st.text(st.characters(exclude_categories=["Cs"]))
HOSTILE = st.lists(ANYTHING | st.sampled_from(FORGERIES), max_size=8).map("".join)
JSON = st.recursive(st.none() | st.integers() | HOSTILE, lambda inner: st.lists(inner, max_size=3))
EVENTS = st.one_of(
    HOSTILE.map(lambda text: TextDelta(message_id="m", part=0, delta=text)),
    st.builds(Custom, name=HOSTILE, data=JSON),
    st.builds(RunFailed, code=HOSTILE, message=HOSTILE),
    HOSTILE.map(
        lambda text: MessageCompleted(message_id="m", role="user", parts=[TextPart(text=text)])
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(Reading):
    """A reading of events that were never stored."""

    envelopes: list[Envelope]

    async def follow(self):
        yield self.envelopes


def enveloped(events):
    return [
        Envelope(
            seq=seq,
            session_id="mine",
            run_id="r",
            attempt=1,
            at="2026-01-01T00:00:00Z",
            type=event.type,
            body=event.model_dump_json(),
        )
        for seq, event in enumerate(events, start=1)
    ]


@async_to_sync
async def streamed(envelopes):
    """The bytes that a client is sent for these events."""
    session = ChatSession(session_id="mine", epoch="0123abcd")
    reading = Prepared(
        session=session, after=0, snapshot=None, tells_caught_up=False, envelopes=envelopes
    )
    stream = sse.stream(reading)
    text = await anext(stream)
    while text.count("\nid: ") < len(envelopes):
        text += await anext(stream)
    await stream.aclose()
    return text.encode()


def by_the_standard(pieces):
    """Read events as WHATWG's standard says, byte order mark and all."""
    text = b"".join(pieces).decode().removeprefix("\ufeff")
    found, event, data, last_id = [], "", [], ""
    for line in re.split("\r\n|\n|\r", text):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                found.append((event or "message", "\n".join(data), last_id))
            event, data = "", []
        elif name == "event":
            event = value
        elif name == "data":
            data.append(value)
        elif name == "id" and "\0" not in value:
            last_id = value
    return found


def by_openai(pieces):
    """Read events with the decoder of OpenAI's client."""
    return [(e.event, e.data, e.id or "") for e in SSEDecoder().iter_bytes(iter(pieces))]


@pytest.mark.parametrize("parse", [by_the_standard, by_openai])
@given(events=st.lists(EVENTS, min_size=1, max_size=4), cuts=st.lists(st.integers(1, 64)))
def test_S_13_S_14_events_are_read_as_they_were_sent_however_they_are_cut(parse, events, cuts):
    envelopes = enveloped(events)
    sent, pieces = streamed(envelopes), []
    for size in cuts:
        pieces.append(sent[:size])
        sent = sent[size:]
    opening, *told = parse([*pieces, sent])
    assert opening == ("stream-open", "", "")
    expected = [(e.type, f"mine.0123abcd:{e.seq}", e.body) for e in envelopes]
    for (kind, data, place), (wanted_kind, wanted_place, body) in zip(told, expected, strict=True):
        assert (kind, place) == (wanted_kind, wanted_place)
        assert json.loads(data).items() >= json.loads(body).items()
