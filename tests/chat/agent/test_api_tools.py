"""Tools that are HTTP endpoints, against a server that tells what it was sent."""

import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from langchain_core.tools import ToolException

from chat.agent.tools.api import MAX_BYTES, ApiTool

SCHEMA = {
    "type": "object",
    "required": ["city"],
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1},
        "kinds": {"type": "array", "items": {"type": "string"}},
        "config": {"type": "object"},
    },
}


class Echo(BaseHTTPRequestHandler):
    """Tells what it was sent; some paths fail in a way of their own."""

    def do_GET(self):
        length = int(self.headers.get("content-length", 0))
        told = {
            "method": self.command,
            "path": self.path,
            "key": self.headers.get("X-Key"),
            "body": json.loads(self.rfile.read(length) or "null"),
        }
        status = int(self.path[1:4]) if self.path[1:4].isdecimal() else 200
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        if self.path == "/large":
            self.wfile.write(b"x" * (MAX_BYTES * 3))
        elif self.path == "/silent":
            self.server.is_ended.wait(10)
        elif status != 204:
            self.wfile.write(json.dumps(told).encode())

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as made:
        made.is_ended = threading.Event()
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.is_ended.set()
        made.shutdown()


def tool(endpoint, method="GET", schema=SCHEMA, **more):
    more = {"headers": {"X-Key": "sk-secret"}, **more}
    return ApiTool(
        name="weather",
        description="The weather.",
        args_schema=schema,
        method=method,
        endpoint=endpoint,
        **more,
    )


async def called(made, **arguments):
    return json.loads(await made.ainvoke(arguments))


async def test_arguments_go_into_the_path_and_the_query(server):
    told = await called(
        tool(f"{server}/of/{{city}}?units=si"), city="Zürich/1 & 2", days=2, kinds=["rain", "sun"]
    )
    assert told["path"] == ("/of/Z%C3%BCrich%2F1%20%26%202?units=si&days=2&kinds=rain&kinds=sun")
    assert (told["method"], told["key"], told["body"]) == ("GET", "sk-secret", None)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_arguments_are_the_json_body(server, method):
    told = await called(tool(f"{server}/{{city}}", method), city="x", days=2, config={"a": [1]})
    assert (told["method"], told["path"]) == (method, "/x")
    assert told["body"] == {"days": 2, "config": {"a": [1]}}


async def test_a_deletion_has_no_body(server):
    told = await called(tool(f"{server}/", "DELETE"), city="x")
    assert (told["path"], told["body"]) == ("/?city=x", None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "'city' is a required property"),
        ({"city": 1}, "city: 1 is not of type 'string'"),
        ({"city": "x", "days": 0}, "days: 0 is less than"),
        ({"city": "x", "admin": True}, "'admin' was unexpected"),
        ({"city": ""}, "city is missing"),
        ({"city": ".."}, "no step in a path"),
        ({"city": "a/../../b"}, "no step in a path"),
        ({"city": "..\\b"}, "no step in a path"),
    ],
)
async def test_M_5_M_7_wrong_arguments_are_told_and_not_sent(arguments, words):
    with pytest.raises(ToolException, match=words):
        await tool("http://127.0.0.1:9/of/{city}").ainvoke(arguments)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("404", 'answered with status 404: {"method"'),
        ("500", "answered with status 500"),
        ("302", "a redirect, which is not followed"),
    ],
)
async def test_C_5_M_7_what_the_service_refuses_is_told(server, path, words):
    with pytest.raises(ToolException, match=words):
        await tool(f"{server}/{path}", schema={}).ainvoke({})


async def test_an_answer_without_a_text_is_told(server):
    assert await tool(f"{server}/204", schema={}).ainvoke({}) == (
        "The service answered with status 204."
    )


async def test_M_8_a_large_answer_is_not_read_to_its_end(server):
    assert len(await tool(f"{server}/large", schema={}).ainvoke({})) == MAX_BYTES


async def test_M_8_a_silent_service_is_left(server):
    with pytest.raises(ToolException, match="no answer in time"):
        await tool(f"{server}/silent", schema={}, limit_s=0.1).ainvoke({})


async def test_a_service_that_is_away_is_told_without_its_address_and_key(caplog):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        made = tool(f"http://127.0.0.1:{closed.getsockname()[1]}/?key=sk-secret", schema={})
        with caplog.at_level(logging.INFO, "chat"), pytest.raises(ToolException) as found:
            await made.ainvoke({})
    assert str(found.value) == "The service cannot be reached."
    assert "sk-secret" not in caplog.text + repr(made)
    assert "ConnectError" in caplog.text
