"""The shipped Python client and the viewer, as their users run them, against a live server."""

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from chatledger_client import TERMINAL, Chatledger, Event, NotFound, Unauthorized, Unavailable
from tests.chaos.proxy import Proxy
from tests.process.blocking import without_websockets
from tests.process.client import Client, check_order, story_of, text_of
from tests.process.product import ROOT, Product, wait_for

pytestmark = pytest.mark.process

README = (ROOT / "examples" / "README.md").read_text()
VIEWER = (sys.executable, str(ROOT / "examples" / "python" / "viewer.py"))
WISH = "[[fake tokens=60 gap_ms=10]]"
LONG = "[[fake tokens=400 gap_ms=20]]"


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, provider_settings: dict[str, str]
) -> Iterator[Product]:
    """A product that wants a key, and whose web process may be killed."""
    folder = tmp_path_factory.mktemp("guarded") / "data"
    with Product(folder, AUTH="required", **provider_settings) as started:
        yield started


@pytest.fixture(scope="module")
def key(guarded: Product) -> str:
    return guarded.new_api_key()


@pytest_asyncio.fixture
async def chat(product: Product) -> AsyncIterator[Chatledger]:
    async with Chatledger(product.url) as made:
        yield made


@pytest.fixture
def blocking_proxy(product: Product) -> Iterator[Proxy]:
    with without_websockets(product) as proxy:
        yield proxy


async def read_to_end(chat: Chatledger, session_id: str, *, after: int = 0) -> list[Event]:
    events: list[Event] = []
    async with aclosing(chat.follow(session_id, after=after)) as following:
        async for event in following:
            events.append(event)
            if event["type"] in TERMINAL:
                break
    return events


async def test_F71_the_client_sends_follows_and_reads_the_cost(
    chat: Chatledger, client: Client
) -> None:
    assert "openai:gpt-4o-mini" in [model["model"] for model in await chat.models()]
    session_id = (await chat.create_session(title="Mine"))["session_id"]
    assert session_id in [session["session_id"] async for session in chat.sessions()]
    sent = await chat.send(session_id, WISH, idempotency_key="once")
    again = await chat.send(session_id, WISH, idempotency_key="once")
    assert again["run_id"] == sent["run_id"]
    events = await read_to_end(chat, session_id)
    check_order(events)
    run = await chat.run(sent["run_id"])
    assert story_of(events) == story_of(client.events_of(client.run(sent["run_id"])))
    assert (run["status"], run["usage"]["completion_tokens"]) == ("finished", 60)
    assert run["cost"] == [e["total"] for e in events if e["type"] == "cost.updated"][-1]
    assert [message["role"] async for message in chat.messages(session_id)] == ["assistant", "user"]


async def test_F71_the_client_and_the_viewer_go_on_where_a_killed_server_broke(
    guarded: Product, key: str, tmp_path: Path
) -> None:
    heard: list[bool] = []
    events: list[Event] = []
    async with Chatledger(guarded.url, api_key=key) as chat:
        session_id = (await chat.create_session())["session_id"]
        sent = await chat.send(session_id, LONG)
        following = chat.follow(session_id, after=0, on_connection=heard.append)
        arguments = ("tail", session_id, "--api-key", key)
        with viewing(guarded, tmp_path, *arguments) as (_, output):
            wait_for(lambda: len(output.read_text().split()) > 10)
            async with aclosing(following):
                async for event in following:
                    events.append(event)
                    if heard == [True] and len(text_of(events).split()) > 20:
                        guarded.kill("web")
                        heard.append(False)
                    if event["type"] in TERMINAL:
                        break
            wait_for(lambda: "[finished · 400 tokens" in output.read_text())
        whole = await read_to_end(chat, session_id)
        run = await chat.run(sent["run_id"])
    check_order(events)
    assert story_of(events) == story_of(whole)
    assert (events[-1]["type"], run["usage"]["completion_tokens"]) == ("run.finished", 400)
    assert heard == [True, False, False, True]
    told = output.read_text()
    assert "[connection lost, trying again]" in told
    assert "[connected again]" in told
    assert without_notes(told).split("]]\n", 1)[1].strip() == text_of(events).strip()


async def test_F71_the_client_stops_a_run_also_without_sockets(
    blocking_proxy: Proxy, product: Product
) -> None:
    async with Chatledger(f"http://127.0.0.1:{blocking_proxy.port}") as chat:
        session_id = (await chat.create_session())["session_id"]
        # Readers of lines take the odd one in the text for the end of one.
        odd = await chat.send(session_id, '[[fake text="one\u2028two\x85three" gap_ms=1]]')
        events = await read_to_end(chat, session_id)
        assert text_of(events) == "one\u2028two\x85three"
        sent = await chat.send(session_id, LONG)
        async with aclosing(chat.follow(session_id, after=events[-1]["seq"])) as following:
            async for event in following:
                events.append(event)
                if event["type"] == "text.delta" and event["tokens"] > 10:
                    await chat.cancel(sent["run_id"])
                if event["type"] in TERMINAL:
                    break
    check_order(events)
    assert (events[-1]["type"], events[-1]["run_id"]) == ("run.cancelled", sent["run_id"])
    assert odd["run_id"] != sent["run_id"]
    assert blocking_proxy.lost_answers >= 2
    async with Chatledger(f"http://127.0.0.1:{blocking_proxy.port}", patience_s=0.1) as chat:
        following = chat.follow(session_id, after=0)
        await anext(following)
        blocking_proxy.refuse()
        with pytest.raises(Unavailable, match="any more"):
            async for _ in following:
                pass


async def test_F71_the_client_s_errors_say_what_to_do(guarded: Product, key: str) -> None:
    async with Chatledger(guarded.url) as chat:
        with pytest.raises(Unauthorized):
            await chat.models()
    async with Chatledger(guarded.url, api_key=key) as chat:
        with pytest.raises(NotFound) as unknown:
            await anext(chat.follow("nobody-s"))
        session = await chat.create_session("to-be-deleted")
        following = chat.follow(session["session_id"], after=0)
        await chat.send(session["session_id"], "[[fake tokens=2]]")
        while (await anext(following))["type"] not in TERMINAL:
            pass
        deleted = f"{guarded.url}/api/sessions/to-be-deleted"
        async with httpx.AsyncClient(headers={"X-API-Key": key}) as http:
            assert (await http.delete(deleted)).status_code == 204
        with pytest.raises(NotFound):
            await anext(following)
    assert unknown.value.code == "unknown_session"
    async with Chatledger("http://127.0.0.1:9") as chat:
        with pytest.raises(Unavailable, match=r"^No answer from http://127\.0\.0\.1:9"):
            await chat.models()


def environment(product: Product, **more: str) -> dict[str, str]:
    return {**os.environ, "CHATLEDGER_URL": product.url, "TERM": "xterm", **more}


def view(product: Product, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run the viewer to its end."""
    return subprocess.run(
        [*VIEWER, *arguments],
        env=environment(product, **more),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@contextmanager
def viewing(
    product: Product, folder: Path, *arguments: str
) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """The viewer while it runs, and the file that its output goes to."""
    output = folder / "output"
    with (
        output.open("wb") as file,
        subprocess.Popen(
            [*VIEWER, *arguments],
            env=environment(product),
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=hear_interrupts,
        ) as child,
    ):
        try:
            yield child, output
        finally:
            child.kill()


def hear_interrupts() -> None:
    """Undo what a shell does to what it starts in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def without_notes(told: str) -> str:
    return re.sub(r"\[(conn|finished|stopp)[^\]]*\]\n", "", told)


def test_F71_the_viewer_sends_and_replays(product: Product) -> None:
    asked = view(product, "send", "--session", "viewed", WISH)
    assert asked.returncode == 0, asked.stderr
    assert len(asked.stdout.split()) == 60
    assert re.search(r"\[finished · 60 tokens · \$0\.\d+\]", asked.stderr)
    told = view(product, "replay", "viewed", "--speed", "1000")
    assert (told.returncode, told.stdout) == (0, f"> {WISH}\n{asked.stdout}")
    failed = view(product, "send", "[[fake fault=400]]")
    assert failed.returncode == 1
    assert "[failed (" in failed.stderr


def test_F71_the_viewer_tails_a_session_that_another_viewer_stops(
    product: Product, client: Client, tmp_path: Path
) -> None:
    session_id = client.new_session()
    run_id = client.send(session_id, LONG)
    with viewing(product, tmp_path, "tail", session_id) as (child, output):
        wait_for(lambda: len(output.read_text().split()) > 30)
        stopped = view(product, "stop", session_id)
        assert (stopped.returncode, run_id in stopped.stderr) == (0, True)
        wait_for(lambda: "[stopped · " in output.read_text())
        second = client.ask("[[fake tokens=3]]", session_id=session_id)
        wait_for(lambda: output.read_text().count("tokens ·") == 2)
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 130
    told = output.read_text()
    assert told.startswith(f"> {LONG}\n{client.answer_of(client.run(run_id))}\n")
    assert client.answer_of(second) in told
    assert "Nothing is running" in view(product, "stop", session_id).stderr


def test_F71_ctrl_c_stops_the_run_and_shows_its_end(
    product: Product, client: Client, tmp_path: Path
) -> None:
    with viewing(product, tmp_path, "send", "--session", "interrupted", LONG) as (child, output):
        wait_for(lambda: len(output.read_text().split()) > 30)
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 130
    assert "[stopped · " in output.read_text()
    (run,) = client.get("/api/sessions/interrupted/costs")["runs"]
    assert client.run(run["run_id"])["status"] == "cancelled"


def test_F71_the_viewer_s_errors_have_texts_and_codes(guarded: Product, key: str) -> None:
    for arguments, more, code, text in (
        (["stop", "x"], {}, 4, "The server wants a key: set CHATLEDGER_API_KEY."),
        (["tail", "x"], {"CHATLEDGER_API_KEY": key}, 5, "There is no session 'x' for you."),
        (["replay", "x", "--url", "http://127.0.0.1:9"], {}, 3, "No answer from "),
        (["send", " "], {"CHATLEDGER_API_KEY": key}, 1, "text: Empty message"),
    ):
        told = view(guarded, *arguments, **more)
        assert (told.returncode, told.stdout) == (code, "")
        assert f"viewer: {text}" in told.stderr
        assert "Traceback" not in told.stderr


def test_F36_a_terminal_shows_markdown_and_a_bar_that_moves(product: Product) -> None:
    text = "A **bold** word. " * 20 + "\x1b[2J"
    wish = f'[[fake text="{text}" gap_ms=10]]'.replace("\x1b", "\\u001b")
    screen, end = pty.openpty()
    command = [*VIEWER, "send", wish]
    with subprocess.Popen(command, env=environment(product), stdout=end, stderr=end) as child:
        os.close(end)
        shown = b"".join(iter(lambda: read_some(screen), b"")).decode()
    os.close(screen)
    assert child.returncode == 0
    assert len(set(re.findall(r"(\d+) tokens · ≈ \$", shown))) > 5
    assert "━" in shown
    last = shown.rpartition("finished · ")[0].rpartition("≈")[2]
    assert "\x1b[1mbold\x1b[0m" in last
    assert "**" not in last
    # What would clear the screen is not passed on.
    assert "\x1b[2J" not in shown


def read_some(descriptor: int) -> bytes:
    """What the terminal was sent; nothing when its program has ended."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_F36_the_commands_and_the_program_of_the_readme_work(
    product: Product, tmp_path: Path
) -> None:
    commands = "\n".join(blocks("sh")).replace("http://localhost:8000", product.url)
    commands = re.sub(r"^(pip|export CHATLEDGER_API_KEY)", r"# \1", commands, flags=re.MULTILINE)
    commands = commands.replace("python examples", f"{sys.executable} {ROOT}/examples")
    # Nobody is there to leave the one that never ends.
    commands = re.sub(r"^(.* tail .*)$", r"timeout -s INT 3 \1", commands, flags=re.MULTILINE)
    told = subprocess.run(
        ["bash", "-c", commands],
        cwd=tmp_path,
        env=environment(product),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in told.stderr
    assert told.stderr.count("[finished · ") == 3
    assert (tmp_path / "answer.txt").read_text().strip()
    (program,) = blocks("python")
    said = subprocess.check_output(
        [sys.executable, "-c", program.replace("http://localhost:8000", product.url)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "examples" / "python")},
        text=True,
        timeout=30,
    )
    assert re.search(r"\n\d+ tokens, 0\.\d+ USD$", said.strip())
