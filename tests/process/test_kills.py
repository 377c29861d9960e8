"""kill -9 of any child in the middle of an answer: it goes on, or ends with one clear event.

A client that connects again with `after` is told everything once, whatever was killed.
"""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.fakes.provider import FakeProvider
from tests.process.client import Client, Json, check_order, follow, is_terminal, text_of
from tests.process.product import COMMANDS, Product, is_alive, wait_for

pytestmark = pytest.mark.process

TOKENS = 200
WISH = f"[[fake tokens={TOKENS} gap_ms=20]]"
LOST_WITHIN_S = 25.0


@pytest.fixture(scope="module")
def own_product(
    tmp_path_factory: pytest.TempPathFactory, provider_settings: dict[str, str]
) -> Iterator[Product]:
    """A product that may be broken."""
    settings = provider_settings | {"LLM_TIMEOUT_S": "10"}
    with Product(tmp_path_factory.mktemp("kills") / "data", **settings) as started:
        yield started


@pytest.fixture(scope="module")
def own_client(own_product: Product) -> Iterator[Client]:
    made = Client(own_product)
    made.ask("[[fake tokens=1]]", timeout_s=30)
    yield made
    made.close()


def kill_in_mid_stream(client: Client, session_id: str, *roles: str) -> list[Json]:
    """Kill children while an answer arrives, and read on from where it broke."""
    with client.socket(session_id) as socket:
        socket.ask(WISH)
        while len(text_of(socket.frames)) < 100:
            socket.read()
        client.product.kill(*roles)
        seen = socket.frames
    later = follow(client, session_id, after=seen[-1]["seq"], timeout_s=LOST_WITHIN_S + 10)
    return [*seen, *later]


def check_next_message(client: Client, session_id: str) -> None:
    run = client.ask("[[fake tokens=3]]", session_id=session_id, timeout_s=20)
    assert run["status"] == "finished"


def check_kept(client: Client, events: list[Json]) -> Json:
    """What was told is what is stored, once; gives the run."""
    check_order(events)
    assert sum(is_terminal(event) for event in events) == 1
    run = client.run(events[-1]["run_id"])
    assert events[-1]["type"] == f"run.{run['status']}"
    assert client.answer_of(run) == text_of(events)
    assert all(call["status"] != "open" for call in run["calls"])
    assert client.events_of(run)[-1] == events[-1]
    return run


@pytest.mark.parametrize("role", ["web", "valkey"])
def test_the_answer_survives(own_client: Client, provider: FakeProvider, role: str) -> None:
    session_id = own_client.new_session()
    events = kill_in_mid_stream(own_client, session_id, role)
    run = check_kept(own_client, events)
    assert run["status"] == "finished"
    assert text_of(events) == provider.requests[-1].text_sent
    assert run["usage"]["completion_tokens"] == TOKENS
    check_next_message(own_client, session_id)


def check_lost(client: Client, events: list[Json], *, said: str) -> None:
    """The run ended for want of its worker, with the text and the cost of what had arrived."""
    run = check_kept(client, events)
    assert (events[-1]["type"], events[-1]["code"]) == ("run.failed", "worker_lost")
    assert len(text_of(events)) >= 100
    assert said.startswith(text_of(events))
    # What the dead worker had used was billed.
    assert run["estimated"] is True
    assert run["cost"] is not None


def test_a_lost_worker_is_told_and_a_silent_run_is_tried_again(
    own_client: Client, provider: FakeProvider
) -> None:
    before = len(provider.requests)
    silent = own_client.send(own_client.new_session(), "[[fake tokens=5 ttft_ms=6000]]")
    wait_for(lambda: len(provider.requests) > before)
    session_id = own_client.new_session()
    started = time.monotonic()
    events = kill_in_mid_stream(own_client, session_id, "worker")
    assert time.monotonic() - started < LOST_WITHIN_S
    check_lost(own_client, events, said=provider.requests[before + 1].text_sent)
    # Nobody had seen anything of the other run, so another worker may begin it again.
    run = own_client.ended(silent)
    assert (run["status"], run["attempt"]) == ("finished", 2)
    assert own_client.answer_of(run) == provider.requests[-1].text_sent
    check_order(own_client.events_of(run))
    check_next_message(own_client, session_id)


def test_everything_is_lost_at_once(own_client: Client, provider: FakeProvider) -> None:
    session_id = own_client.new_session()
    before = {role: own_client.product.child(role).pid for role in COMMANDS}
    events = kill_in_mid_stream(own_client, session_id, *before)
    check_lost(own_client, events, said=provider.requests[-1].text_sent)
    after = {role: own_client.product.child(role).pid for role in COMMANDS}
    assert not set(before.values()) & set(after.values())
    check_next_message(own_client, session_id)


def test_a_message_sent_while_valkey_is_down_is_answered(own_client: Client) -> None:
    session_id = own_client.new_session()
    own_client.product.kill("valkey")
    run = own_client.ask("[[fake tokens=3]]", session_id=session_id, timeout_s=20)
    assert run["status"] == "finished"


def test_a_killed_parent_leaves_no_child(own_product: Product, own_client: Client) -> None:
    """The last test here: the product has ended after it."""
    own_product.child("web")
    with own_client.socket(own_client.new_session()) as socket:
        # In the middle of an answer, with somebody watching.
        socket.ask("[[fake tokens=2000 gap_ms=20]]")
        socket.read_until("text.delta")
        children = own_product.processes()
        os.kill(own_product.pid, signal.SIGKILL)
        own_product.wait()
        try:
            wait_for(lambda: not any(map(is_alive, children)), timeout_s=10)
        finally:
            for process in filter(is_alive, children):
                process.kill()
