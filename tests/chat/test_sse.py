"""SSE: what a stream looks like on the wire, where it starts, and who may read it."""

import asyncio
import json
import re

import pytest
from asgiref.testing import ApplicationCommunicator

from chat import database, runs, sse
from chat.commands import SendMessage
from chat.events import merge_envelopes
from chat.models import ChatSession, Run
from chat.wire import native
from project.asgi import application
from tests import driving

pytestmark = pytest.mark.django_db(transaction=True)

SHORT = "[[tokens=3 delay_ms=0]]"
TERMINAL = ("run.finished", "run.failed", "run.cancelled")


class Stream:
    """A client's end of a response that does not end, with a parser that conforms to WHATWG."""

    def __init__(self, query="", *, session_id="mine", method="GET", **headers):
        named = {"host": "testserver", **headers}
        self._wire = ApplicationCommunicator(
            application,
            {
                "type": "http",
                "http_version": "1.1",
                "method": method,
                "scheme": "http",
                "path": f"/api/sessions/{session_id}/events",
                "query_string": query.lstrip("?").encode(),
                "headers": [
                    (name.replace("_", "-").lower().encode(), value.encode("latin-1"))
                    for name, value in named.items()
                ],
            },
        )
        self.bytes = b""
        self._unread = ""
        self.last_event_id = ""

    async def __aenter__(self):
        await self._wire.send_input({"type": "http.request", "body": b"", "more_body": False})
        started = await self._wire.receive_output(timeout=5)
        self.status = started["status"]
        self.headers = {name.decode(): value.decode() for name, value in started["headers"]}
        return self

    async def __aexit__(self, *_):
        await self._wire.send_input({"type": "http.disconnect"})
        await self._wire.wait(timeout=5)

    async def chunk(self, timeout_s=5):
        sent = await self._wire.receive_output(timeout=timeout_s)
        self.bytes += sent["body"]
        self._unread += sent["body"].decode()
        return sent["body"].decode()

    async def events(self, *kinds, timeout_s=10):
        """Collect events up to and with one of these types."""
        found = []
        async with asyncio.timeout(timeout_s):
            while not (found and found[-1]["event"] in kinds):
                event = self._next()
                if event:
                    found.append(event)
                else:
                    await self.chunk(timeout_s)
        return found

    async def log(self, *kinds):
        """Collect the events of the log, as the objects that they are."""
        found = await self.events(*(kinds or TERMINAL))
        return [
            json.loads(e["data"]) for e in found if e["event"] not in ("stream-open", "keep-alive")
        ]

    async def ends(self, *, timeout_s):
        """Read to the end of the body."""
        async with asyncio.timeout(timeout_s):
            while (await self._wire.receive_output(timeout_s)).get("more_body"):
                pass
        return True

    async def has_nothing(self):
        return self._next() is None and await self._wire.receive_nothing(timeout=0.2)

    def _next(self):
        while found := re.match(r"(?s)(.*?)(?:\r\n|\n|\r)(?:\r\n|\n|\r)", self._unread):
            self._unread = self._unread[found.end() :]
            event = {"event": "message", "data": []}
            for line in re.split(r"\r\n|\n|\r", found.group(1)):
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if name == "data":
                    event["data"].append(value)
                elif name == "event":
                    event["event"] = value
                elif name == "id" and "\0" not in value:
                    self.last_event_id = value
            if event["data"]:
                return event | {"data": "\n".join(event["data"]), "id": self.last_event_id}
        return None


async def start(session, text=SHORT, **more):
    command = SendMessage(text=text, **more)
    return await runs.start(session, command, model="scripted:demo")


async def finished(session, text=SHORT):
    started = await start(session, text)
    await database.read(driving.wait_for_status, started.run_id, "finished")


async def test_a_stream_has_the_headers_of_one_that_nobody_may_hold_back(mine, redis):
    async with Stream() as stream:
        assert stream.status == 200
        assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["Cache-Control"] == "no-cache"
        assert stream.headers["X-Accel-Buffering"] == "no"
        assert not {"Content-Length", "Content-Encoding", "Connection"} & set(stream.headers)


async def test_a_stream_begins_with_padding_and_stream_open(mine, redis):
    async with Stream() as stream:
        opening = await stream.chunk(timeout_s=1)
    assert opening == ":" + " " * 2048 + "\n\nevent: stream-open\ndata:\n\n"


async def test_an_event_has_its_type_its_id_and_one_flat_object(mine, ringing):
    async with Stream("?after=0") as stream:
        await finished(mine)
        events = await stream.events(*TERMINAL)
    channel = f"mine.{mine.epoch}"
    assert events.pop(0)["event"] == "stream-open"
    for event in events:
        told = json.loads(event["data"])
        assert (event["event"], event["id"]) == (told["type"], f"{channel}:{told['seq']}")
        assert told["session_id"] == "mine"
        assert "\n" not in event["data"]
    run = await Run.objects.aget()
    assert {json.loads(event["data"])["run_id"] for event in events} == {str(run.pk)}
    text = "".join(json.loads(e["data"])["delta"] for e in events if e["event"] == "text.delta")
    assert text == "w0 w1 w2 "


async def test_the_lines_of_an_event_come_in_the_order_of_django_eventstream(mine, ringing):
    async with Stream("?after=0") as stream:
        await finished(mine)
        await stream.events(*TERMINAL)
    blocks = stream.bytes.decode().split("\n\n")[2:-1]
    for block in blocks:
        assert re.fullmatch(r"event: [a-z_.]+\nid: [^\n]+\ndata: \{.*\}", block), block


async def test_a_stream_tells_the_same_as_a_socket(mine, ringing):
    await finished(mine)
    async with Stream("?after=0") as stream:
        told = await stream.log()
    log = await database.read(driving.log_of, mine)
    assert told == [json.loads(native.encode(e)) for e in merge_envelopes(log)]


async def test_a_stream_without_a_position_starts_now(mine, ringing):
    await finished(mine)
    before = (await ChatSession.objects.aget()).last_seq
    async with Stream() as stream:
        await stream.events("stream-open")
        assert await stream.has_nothing()
        await start(mine)
        assert (await stream.log())[0]["seq"] == before + 1


@pytest.mark.parametrize("name", ["header", "query", "after"])
async def test_a_stream_goes_on_after_a_position(mine, ringing, name):
    await finished(mine)
    place = f"mine.{mine.epoch}:5"
    wanted = {
        "header": Stream(last_event_id=place),
        "query": Stream(f"?lastEventId={place}"),
        "after": Stream("?after=5"),
    }
    async with wanted[name] as stream:
        assert (await stream.log())[0]["seq"] == 6


async def test_S_6_the_header_wins_over_the_query_and_the_query_over_after(mine, ringing):
    await finished(mine)
    channel = f"mine.{mine.epoch}"
    query = f"?lastEventId={channel}:7&after=3"
    async with Stream(query, last_event_id=f"{channel}:5") as stream:
        assert (await stream.log())[0]["seq"] == 6
    async with Stream(query) as stream:
        assert (await stream.log())[0]["seq"] == 8


async def test_a_stream_that_is_cut_again_and_again_tells_everything_once(mine, ringing):
    await start(mine, "[[tokens=150 delay_ms=3]]")
    told, place = [], {"query": "?after=0"}
    while not told or told[-1]["type"] not in TERMINAL:
        async with Stream(**place) as stream:
            told += await stream.log("text.delta", *TERMINAL)
            place = {"last_event_id": stream.last_event_id}
    seqs = [e["seq"] for e in told]
    assert seqs == sorted(set(seqs))
    text = "".join(e["delta"] for e in told if e["type"] == "text.delta")
    assert text == "".join(f"w{i} " for i in range(150))


@pytest.mark.parametrize("session_id", ["a:b", "a@b", "a~b", "a.b", ":", "x" * 128])
async def test_S_9_a_client_comes_back_with_the_id_it_was_given(
    transactional_db, ringing, session_id
):
    made = await ChatSession.objects.acreate(owner_key="open", session_id=session_id)
    async with Stream("?after=0", session_id=session_id) as stream:
        await start(made)
        told = await stream.log("message.completed")
        place = stream.last_event_id
    async with Stream(session_id=session_id, last_event_id=place) as stream:
        assert stream.status == 200
        assert (await stream.log())[0]["seq"] == told[-1]["seq"] + 1


async def test_a_silent_stream_is_kept_alive(mine, redis, monkeypatch):
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.05)
    async with Stream() as stream:
        await stream.chunk()
        assert [await stream.chunk() for _ in range(3)] == ["event: keep-alive\ndata:\n\n"] * 3


async def test_keep_alives_lose_no_event(mine, ringing, monkeypatch):
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.01)
    async with Stream("?after=0") as stream:
        await start(mine, "[[tokens=20 delay_ms=20]]")
        told = await stream.log()
    assert [e["delta"] for e in told if e["type"] == "text.delta"]
    text = "".join(e["delta"] for e in told if e["type"] == "text.delta")
    assert text == "".join(f"w{i} " for i in range(20))


NASTY = [
    *(
        "a\n\nb",
        "a\r\nb",
        "a\rb",
        "data: x",
        "\n\nevent: done\ndata: {}\n\n",
        ": comment",
        "\ufeffa",
    ),
    *("a\u2028b\u2029c\u0085d", "id: 1\n", "retry: 1\n", "\\n", "</script>", "😀 é", "a\x0bb\x0cc"),
]


@pytest.mark.parametrize("text", NASTY, ids=ascii)
async def test_S_13_no_text_can_forge_an_event(mine, ringing, text):
    script = json.dumps(text)
    await finished(mine, f"[[text={script} delay_ms=0]]")
    async with Stream("?after=0") as stream:
        events = await stream.events("run.finished")
    told = [json.loads(e["data"]) for e in events[1:]]
    assert "".join(e["delta"] for e in told if e["type"] == "text.delta") == text
    assert all(e["event"] == one["type"] for e, one in zip(events[1:], told, strict=True))
    assert [e["seq"] for e in told] == sorted(e["seq"] for e in told)


async def test_a_stream_works_without_redis(mine, ringing, redis):
    redis.kill()
    async with Stream("?after=0") as stream:
        await start(mine)
        told = await stream.log()
    assert "".join(e["delta"] for e in told if e["type"] == "text.delta") == "w0 w1 w2 "
