"""The JavaScript clients of the five documents run as they stand there, in a real browser."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.documented import snippet
from tests.process.client import Client
from tests.process.product import Product

pytestmark = pytest.mark.browser

#: What the snippets take to be there: a terminal, and the page around them.
AROUND = """
  window.lines = [];
  console.log = (...parts) => lines.push(parts.join(" "));
  window.process = { stdout: { write: (text) => lines.push(text) } };
  window.bars = [];
  window.updateProgressBar = (step, total) => bars.push([step, total]);
  document.body.innerHTML = '<button id="cancelButton">Cancel</button>';
"""
#: The second document's socket sends before it is open, which no browser lets it do.
PATIENT_SOCKET = """
  window.WebSocket = class extends WebSocket {
    send(data) {
      if (this.readyState !== WebSocket.CONNECTING) return super.send(data);
      this.addEventListener("open", () => super.send(data), { once: true });
    }
  };
"""


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("scripted") / "data", LLM_PROVIDER="scripted") as started:
        yield started


@pytest.fixture
def page(browser: Browser, scripted: Product) -> Iterator[Page]:
    """An empty page of our own host."""
    context = browser.new_context()
    opened = context.new_page()
    opened.goto(f"{scripted.url}/health")
    opened.evaluate(AROUND)
    yield opened
    context.close()


Runs = Callable[..., Any]


@pytest.fixture
def run(page: Page) -> Runs:
    """Run code as a script whose top level may wait."""

    def run_now(code: str, **names: str) -> Any:
        given = "; ".join(f"let {name} = {value}" for name, value in names.items())
        return page.evaluate(f"async () => {{ {given};\n{code}\n }}")

    return run_now


def lines(page: Page, *, until: str) -> list[str]:
    page.wait_for_function("text => lines.some(line => line.includes(text))", arg=until)
    told: list[str] = page.evaluate("lines")
    return told


def runs_of(product: Product, session_id: str) -> int:
    client = Client(product)
    found = client.http.get(f"/api/sessions/{session_id}/messages").json()["items"]
    client.close()
    return len({message["run_id"] for message in found})


def test_F04_the_first_document_s_event_source(page: Page, run: Runs, scripted: Product) -> None:
    run(snippet(1, "javascript", 1, base_url=scripted.url))
    told = lines(page, until="Final Cost: $0.")
    assert told[0] == "Connected: user123"
    assert any(line.startswith("\nTokens: 1, Cost: $0.") for line in told)
    assert any(line.startswith("\n\nLLM Complete: You said") for line in told)


def test_F13_the_first_document_s_socket(page: Page, run: Runs, scripted: Product) -> None:
    run(snippet(1, "javascript", 2, base_url=scripted.url))
    told = lines(page, until="Total Cost: $0.")
    assert told[:2] == ["WebSocket connected", "Session established: user123"]


def test_F14_the_first_document_s_cancel_button(page: Page, run: Runs, scripted: Product) -> None:
    code = snippet(1, "javascript", 2, base_url=scripted.url)
    run(code.replace("Hello, how can you help me?", "Tell me a very long story"))
    lines(page, until="Once ")
    page.click("#cancelButton")
    told = lines(page, until="Stream cancelled by request")
    assert not any("Complete:" in line for line in told)


def test_F66_the_second_document_s_event_source_never_closes_and_runs_once(
    page: Page, run: Runs, scripted: Product
) -> None:
    asked: list[str] = []
    page.on("response", lambda found: asked.append(f"{found.status} {found.url}"))
    code = snippet(2, "javascript", 1, base_url=scripted.url)
    run(code.replace("message=Hello", "message=Hello&session_id=patient"))
    lines(page, until="Total: $0.")
    # A browser comes back after about 3 s.
    page.wait_for_function("performance.now() > 0")
    page.wait_for_timeout(8_000)
    assert runs_of(scripted, "patient") == 1
    assert [line.partition(" ")[0] for line in asked if "/chat/stream" in line] == ["200", "204"]


def test_F15_the_second_document_s_socket_is_cancelled_at_once(
    page: Page, run: Runs, scripted: Product
) -> None:
    run(PATIENT_SOCKET + snippet(2, "javascript", 2, base_url=scripted.url))
    assert lines(page, until="Stream cancelled") == ["Stream cancelled"]


def test_F41_the_third_document_s_fetch(page: Page, run: Runs, scripted: Product) -> None:
    # It names the type of the event outside of the block in which it declares it.
    run(snippet(3, "javascript", 1, base_url=scripted.url), eventType='"event"')
    told: list[str] = page.evaluate("lines")
    assert len(told) >= 8
    assert all(line.startswith("event [object Object]") for line in told)


def test_F43_the_third_document_s_component(page: Page, run: Runs, scripted: Product) -> None:
    code = snippet(3, "javascript", 2, base_url=scripted.url)
    code = code.replace("import { useState, useEffect } from 'react';", "")
    body, _, _ = code.partition("  return (\n    <div>")
    react = """
      const kept = [];
      const useState = (first) => {
        const place = kept.push(first) - 1;
        return [first, (next) => {
          kept[place] = typeof next === "function" ? next(kept[place]) : next;
        }];
      };
    """
    told = run(
        f"{react}{body}\n return sendMessage('What is 25 * 4?').then(() => kept) }}\n"
        "return await StreamingChat()"
    )
    (messages, current) = told
    assert len(messages) == 1
    assert "100" in messages[0]
    assert current == ""


def test_F60_the_fourth_document_s_event_source(page: Page, run: Runs, scripted: Product) -> None:
    code = snippet(4, "javascript", 1, base_url=scripted.url)
    run(code, command='"What is 25 * 4?"', messageId='"m1"')
    lines(page, until="Token: ")
    page.wait_for_function("bars.length > 0")
    page.wait_for_timeout(4_000)
    told: list[str] = page.evaluate("lines")
    assert "100" in "".join(line.removeprefix("Token: ") for line in told)


def test_F85_a_socket_of_raw_text(page: Page, run: Runs, scripted: Product) -> None:
    page.evaluate(
        """(url) => {
          const socket = new WebSocket(url);
          socket.onopen = () => socket.send("What is 25 * 4?");
          socket.onmessage = (event) => lines.push(event.data);
        }""",
        f"{scripted.url.replace('http', 'ws', 1)}/ws/chunks",
    )
    told = lines(page, until="[DONE]")
    assert "100" in "".join(told[:-1])
