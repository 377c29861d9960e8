"""Several viewers of one session are told the same, and none of them is needed."""

import threading
from collections.abc import Iterator

import pytest

from tests.fakes.provider import FakeProvider
from tests.process.client import Client, Json, check_order, is_terminal, story_of, text_of

pytestmark = pytest.mark.process

WISH = "[[fake tokens=60 gap_ms=10]]"


class Reader(threading.Thread):
    """Reads server-sent events to the end of a run."""

    def __init__(self, client: Client, session_id: str) -> None:
        super().__init__()
        self.client = client
        self.session_id = session_id
        self.events: list[Json] = []

    def run(self) -> None:
        with self.client.event_stream(self.session_id) as events:
            self.events = list(up_to_end(events))


def up_to_end(events: Iterator[Json]) -> Iterator[Json]:
    for event in events:
        yield event
        if is_terminal(event):
            return


def test_all_viewers_are_told_the_same(client: Client) -> None:
    session_id = client.new_session()
    reader = Reader(client, session_id)
    reader.start()
    with client.socket(session_id) as one, client.socket(session_id, after=0) as other:
        one.ask(WISH)
        one.read_to_end()
        other.read_to_end()
        reader.join(20)
    stored = client.events_of(client.run(one.frames[-1]["run_id"]))
    for events in (one.frames, other.frames, reader.events):
        check_order(events)
        assert story_of(events) == story_of(stored)


def test_a_late_viewer_is_told_everything(client: Client) -> None:
    session_id = client.new_session()
    with client.socket(session_id) as first:
        first.ask(WISH)
        while len(text_of(first.frames)) < 100:
            first.read()
        with client.socket(session_id, after=0) as late:
            late.read_to_end()
        first.read_to_end()
    assert story_of(late.frames) == story_of(first.frames)


def test_resuming_anywhere_tells_the_rest_once(client: Client) -> None:
    session_id = client.new_session()
    with client.socket(session_id) as socket:
        socket.ask(WISH)
        socket.read_to_end()
    whole = socket.frames
    for position in (whole[0]["seq"], whole[7]["seq"], whole[-2]["seq"]):
        with client.socket(session_id, after=position) as again:
            again.read_to_end()
        before = [event for event in whole if event["seq"] <= position]
        assert story_of([*before, *again.frames]) == story_of(whole)


def test_sse_resumes_after_the_last_event_id(client: Client) -> None:
    session_id = client.new_session()
    run = client.ask(WISH, session_id=session_id)
    with client.event_stream(session_id) as events:
        whole = list(up_to_end(events))
    path = f"/api/sessions/{session_id}/events"
    lines: list[str] = []
    with client.http.stream("GET", f"{path}?after=0") as response:
        for line in response.iter_lines():
            lines.append(line)
            if line.startswith("id: ") and len(lines) > 10:
                break
    headers = {"Last-Event-ID": lines[-1].removeprefix("id: ")}
    position = int(lines[-1].rpartition(":")[2])
    with client.http.stream("GET", path, headers=headers) as response:
        for line in response.iter_lines():
            if line.startswith("id: "):
                assert int(line.rpartition(":")[2]) > position
                break
    assert whole[-1]["run_id"] == run["run_id"]


def test_a_run_needs_no_viewer(client: Client, provider: FakeProvider) -> None:
    session_id = client.new_session()
    with client.socket(session_id) as socket:
        socket.ask("[[fake tokens=40 gap_ms=20]]")
        run_id = socket.read_until("text.delta")["run_id"]
    run = client.ended(run_id)
    assert run["status"] == "finished"
    assert client.answer_of(run) == provider.requests[-1].text_sent


def test_a_viewer_that_breaks_off_disturbs_nobody(client: Client) -> None:
    session_id = client.new_session()
    with client.socket(session_id) as stays:
        with client.socket(session_id) as leaves:
            leaves.ask("[[fake tokens=60 gap_ms=10]]")
            leaves.read_until("text.delta")
            leaves.connection.socket.close()
        assert stays.read_to_end()["type"] == "run.finished"
    check_order(stays.frames)


def test_the_same_key_again_is_the_same_run(client: Client) -> None:
    session_id = client.new_session()
    with client.socket(session_id) as socket:
        for _ in range(3):
            socket.ask("[[fake tokens=2]]", idempotency_key="one-key")
        socket.read_to_end()
        assert socket.read_quietly(0.5) == []
    page = client.get(f"/api/sessions/{session_id}/messages")
    assert [item["role"] for item in page["items"]] == ["assistant", "user"]


def test_a_second_message_waits_when_it_is_asked_to(client: Client) -> None:
    session_id = client.new_session()
    first = client.send(session_id, "[[fake tokens=20 gap_ms=20]]")
    second = client.send(session_id, "[[fake tokens=2]]", if_running="enqueue")
    ended = [client.ended(run_id) for run_id in (first, second)]
    assert [run["status"] for run in ended] == ["finished", "finished"]
    with client.socket(session_id, after=0) as socket:
        while socket.read_to_end()["run_id"] != second:
            pass
    order = [event["run_id"] for event in socket.frames if is_terminal(event)]
    assert order == [first, second]
