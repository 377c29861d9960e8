"""What a manifest makes of the agent: exactly its tools, and how much it remembers."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.conf import settings
from django.db import connection, transaction

from chat.models import Message, Run
from costs.models import ModelCall
from project import manifest
from tests import driving, invariants

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def ask(worker, session, monkeypatch):
    """Asks the agent of a manifest with this beside its role; gives what was told."""

    def make(text, spec):
        made = manifest.parse(
            json.dumps({"metadata": {"name": "a"}, "spec": {"role": "You help.", **spec}}),
            {},
            name="agent.ossa.yaml",
        )
        monkeypatch.setattr(settings.ENV, "manifest", made)
        run_id = driving.send(session, text).run_id
        worker.execute(run_id)
        assert Run.objects.get(pk=run_id).status == "finished"
        invariants.check_session(session)
        return [e.event for e in driving.log_of(session) if str(e.run_id) == str(run_id)]

    return make


@pytest.fixture
def noting():
    """An endpoint; notes whether its run may be started again at the moment of the call."""

    class Noting(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["content-length"])
            self.server.noted.append(
                (json.loads(self.rfile.read(length)), Run.objects.get().has_effects)
            )
            connection.close()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"booked " + b"x" * 50_000)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Noting) as made:
        made.noted = []
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def booking(noting):
    return {
        "type": "api",
        "name": "book",
        "description": "Book a table.",
        "parameters": {"type": "object", "properties": {"people": {"type": "integer"}}},
        "config": {"endpoint": f"http://127.0.0.1:{noting.server_port}/", "method": "post"},
    }


def test_an_endpoint_is_called_with_the_right_arguments_alone(ask, noting, booking):
    told = ask('[[tool=book args={"people":2} delay_ms=0]]', {"tools": [booking]})
    assert noting.noted == [({"people": 2}, True)]
    (result,) = [event for event in told if event.type == "tool.result"]
    assert result.content.startswith("booked xxx")
    assert "50007 characters, shortened" in result.content
    assert len(result.content) == 20_000

    told = ask('[[tool=book args={"people":"two"} delay_ms=0]]', {"tools": [booking]})
    assert "people: 'two' is not of type 'integer'" in str(told)
    assert len(noting.noted) == 1


def test_no_tool_is_called_before_it_is_stored_that_the_run_may_not_start_again(
    ask, noting, booking
):
    def asking():
        try:
            ask('[[tool=book args={"people":2} delay_ms=100]]', {"tools": [booking]})
        finally:
            connection.close()

    thread = threading.Thread(target=asking)
    thread.start()
    driving.wait_for(ModelCall.objects.exists)
    with transaction.atomic():
        # While it is locked nothing can be stored; the model goes on for 0.1 s.
        Run.objects.select_for_update().get()
        time.sleep(0.5)
        assert noting.noted == []
    thread.join()
    assert noting.noted == [({"people": 2}, True)]


@pytest.mark.parametrize(
    ("tools", "told"),
    [
        ([{"type": "function", "name": "calculator"}], "tool.result"),
        ([{"type": "function", "name": "clock"}], "tool.failed"),
        ([], "tool.failed"),
    ],
)
def test_the_tools_are_exactly_those_of_the_manifest(ask, tools, told):
    wish = '[[tool=calculator args={"expression":"1+1"} delay_ms=0]]'
    assert told in [event.type for event in ask(wish, {"tools": tools})]


@pytest.mark.parametrize(
    ("memory", "answers"),
    [
        ({"type": "redis"}, ["Your name is Alice."] * 2),
        ({"enabled": False}, ["You have not told me your name."] * 2),
        ({"window_size": 1}, ["Your name is Alice.", "You have not told me your name."]),
        ({"max_token_limit": 5}, ["You have not told me your name."] * 2),
    ],
)
def test_F19_the_manifest_says_how_much_of_a_conversation_is_seen(ask, memory, answers):
    ask("My name is Alice.", {"memory": memory})
    for _ in answers:
        ask("What's my name?", {"memory": memory})
    told = [message.parts[0]["text"] for message in Message.objects.filter(role="assistant")]
    assert told[1:] == answers
