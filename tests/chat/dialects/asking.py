"""A client of the older systems' HTTP endpoints, which asks and reads until the answer is over."""

import asyncio
import json
from urllib.parse import urlencode

from asgiref.testing import ApplicationCommunicator

from project.asgi import application


class Request:
    """One request and its response; each chunk is kept as it came."""

    def __init__(self, path, *, body=None, method=None, headers=None, **query):
        self.sent = b"" if body is None else json.dumps(body).encode()
        named = {"host": "testserver", "content-type": "application/json", **(headers or {})}
        self._wire = ApplicationCommunicator(
            application,
            {
                "type": "http",
                "http_version": "1.1",
                "method": method or ("GET" if body is None else "POST"),
                "scheme": "http",
                "path": path,
                "query_string": urlencode(query, doseq=True).encode(),
                "headers": [(k.lower().encode(), v.encode()) for k, v in named.items()],
            },
        )
        self.chunks = []
        self.decode = bytes
        self.is_over = False

    async def __aenter__(self):
        await self._wire.send_input({"type": "http.request", "body": self.sent})
        started = await self._wire.receive_output(timeout=10)
        self.status = started["status"]
        self.headers = {name.decode(): value.decode() for name, value in started["headers"]}
        return self

    async def __aexit__(self, *_):
        await self.leave()

    async def leave(self):
        """Close the connection, as a client does that goes away."""
        await self._wire.send_input({"type": "http.disconnect"})
        await self._wire.wait(timeout=5)

    async def read(self, *, until=None, timeout_s=10):
        """Read to the end of the body, or until a chunk contains something; gives all text."""
        async with asyncio.timeout(timeout_s):
            while not self.is_over:
                part = await self._wire.receive_output(timeout_s)
                self.is_over = not part.get("more_body")
                if part.get("body"):
                    self.chunks.append(self.decode(part["body"]).decode())
                if until and self.chunks and until in self.chunks[-1]:
                    break
        return "".join(self.chunks)

    async def json(self):
        return json.loads(await self.read())


async def call(path, **how):
    """Ask and give the status and the parsed body of an answer that is one JSON value."""
    async with Request(path, **how) as request:
        return request.status, await request.json()


def events_in(text):
    """Parse a stream as WHATWG says: name, data and id of each event."""
    events, last_id = [], ""
    for block in text.split("\n\n"):
        fields = [line.partition(":") for line in block.split("\n")]
        named = {name: value.removeprefix(" ") for name, _, value in fields if name}
        last_id = named.get("id", last_id)
        if "data" in named:
            name = named.get("event", "message")
            events.append({"event": name, "data": json.loads(named["data"]), "id": last_id})
    return events


def data_in(text):
    return [event["data"] for event in events_in(text)]
