"""A client of the product: REST, WebSocket and SSE, as other programs would use them."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from tests.process.product import Product, wait_for

Json = dict[str, Any]
TERMINAL = ("run.finished", "run.failed", "run.cancelled")
DELTAS = ("text.delta", "reasoning.delta", "tool_call.delta")


class Socket:
    """One WebSocket on a session; `frames` is all that came over it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.frames: list[Json] = []

    def send(self, **command: Any) -> None:
        self.connection.send(json.dumps(command))

    def ask(self, text: str, **more: Any) -> None:
        self.send(type="send_message", text=text, **more)

    def read(self, timeout_s: float = 15) -> Json:
        """The next frame. Raises TimeoutError or ConnectionClosed."""
        frame: Json = json.loads(self.connection.recv(timeout_s))
        self.frames.append(frame)
        return frame

    def read_until(self, *types: str, timeout_s: float = 20) -> Json:
        """Read until a frame of one of these types has come."""
        deadline = time.monotonic() + timeout_s
        while (frame := self.read(max(deadline - time.monotonic(), 0.01)))["type"] not in types:
            pass
        return frame

    def read_to_end(self, timeout_s: float = 20) -> Json:
        """Read until a run has ended; gives the terminal event."""
        return self.read_until(*TERMINAL, timeout_s=timeout_s)

    def read_quietly(self, quiet_s: float) -> list[Json]:
        """Read until nothing more has come for a while."""
        before = len(self.frames)
        try:
            while True:
                self.read(quiet_s)
        except TimeoutError:
            return self.frames[before:]


class Client:
    """REST calls, and the sockets and streams that go with them."""

    def __init__(self, product: Product) -> None:
        self.product = product
        # Each call on a connection of its own: a killed server breaks the ones that are kept.
        limits = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.Client(base_url=product.url, timeout=30, limits=limits)

    def close(self) -> None:
        self.http.close()

    def new_session(self, **fields: Any) -> str:
        answer = self.http.post("/api/sessions", json=fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["session_id"])

    def send(self, session_id: str, text: str, **fields: Any) -> str:
        """Send a message; gives the run's id."""
        key = {"Idempotency-Key": str(uuid4())}
        path = f"/api/sessions/{session_id}/messages"
        answer = self.http.post(path, json={"text": text, **fields}, headers=key)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run_id"])

    def get(self, path: str) -> Any:
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def run(self, run_id: str) -> Json:
        found: Json = self.get(f"/api/runs/{run_id}")
        return found

    def ended(self, run_id: str, *, timeout_s: float = 20) -> Json:
        """Wait until a run has ended; gives what REST says of it."""

        def is_ended() -> Json | None:
            found = self.run(run_id)
            return found if found["status"] in ("finished", "failed", "cancelled") else None

        ended: Json = wait_for(is_ended, timeout_s=timeout_s)
        return ended

    def ask(self, text: str, *, session_id: str | None = None, timeout_s: float = 20) -> Json:
        """Send a message, wait for its end, and give the run."""
        run_id = self.send(session_id or self.new_session(), text)
        return self.ended(run_id, timeout_s=timeout_s)

    def answer_of(self, run: Json) -> str:
        """The text of a run's answer as REST keeps it."""
        page = self.get(f"/api/sessions/{run['session_id']}/messages?limit=100")
        wanted = (run["run_id"], "assistant")
        found = [m for m in page["items"] if (m["run_id"], m["role"]) == wanted]
        assert len(found) == 1, page
        return "".join(p["text"] for p in found[0]["parts"] if p["type"] == "text")

    def events_of(self, run: Json) -> list[Json]:
        """All events of a run that has ended, read from the beginning."""
        with self.socket(run["session_id"], after=0) as socket:
            while socket.read_to_end()["run_id"] != run["run_id"]:
                pass
            return [frame for frame in socket.frames if frame["run_id"] == run["run_id"]]

    @contextmanager
    def socket(self, session_id: str, *, after: int | None = None) -> Iterator[Socket]:
        """A WebSocket on a session; closed when the caller leaves the block."""
        position = "" if after is None else f"?after={after}"
        url = f"ws://127.0.0.1:{self.product.port}/ws/sessions/{session_id}{position}"
        with connect(url, compression=None, max_size=None, max_queue=None) as connection:
            yield Socket(connection)

    @contextmanager
    def event_stream(self, session_id: str, *, after: int = 0) -> Iterator[Iterator[Json]]:
        """The session's server-sent events; ends when the caller leaves the block."""
        path = f"/api/sessions/{session_id}/events?after={after}"
        with self.http.stream("GET", path) as response:
            assert response.status_code == 200
            yield _sse_events(response.iter_lines())


def follow(client: Client, session_id: str, *, after: int, timeout_s: float) -> list[Json]:
    """Read a session to the end of its run, connecting again whenever the socket breaks."""
    deadline = time.monotonic() + timeout_s
    frames: list[Json] = []
    while time.monotonic() < deadline:
        position = frames[-1]["seq"] if frames else after
        try:
            with client.socket(session_id, after=position) as socket:
                socket.frames = frames
                socket.read_to_end(timeout_s=deadline - time.monotonic())
                return frames
        except (ConnectionClosed, InvalidHandshake, ConnectionError, EOFError):
            time.sleep(0.1)
        except TimeoutError:
            continue
    raise AssertionError(f"no end within {timeout_s} s; the last event was {frames[-1:]}")


def is_terminal(event: Json) -> bool:
    return event["type"] in TERMINAL


def text_of(events: Sequence[Json]) -> str:
    """The joined text of the last attempt."""
    last = max((event["attempt"] for event in events if "attempt" in event), default=0)
    deltas = [e for e in events if e["type"] == "text.delta" and e["attempt"] == last]
    return "".join(event["delta"] for event in deltas)


def story_of(events: Sequence[Json]) -> list[Json]:
    """The events with neighbouring deltas joined: what every reader must have been told."""
    told: list[Json] = []
    for event in events:
        last = told[-1] if told else {}
        same = ("type", "run_id", "attempt", "message_id", "part")
        if event["type"] in DELTAS and all(event.get(k) == last.get(k) for k in same):
            told[-1] = {**event, "delta": last["delta"] + event["delta"]}
        else:
            told.append(event)
    return told


def check_order(events: Sequence[Json]) -> None:
    """Each event once and in order, and one terminal event for each run."""
    seqs = [event["seq"] for event in events]
    assert seqs == sorted(set(seqs))
    ends = [event["run_id"] for event in events if is_terminal(event)]
    assert len(ends) == len(set(ends))


def _sse_events(lines: Iterator[str]) -> Iterator[Json]:
    for line in lines:
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))
