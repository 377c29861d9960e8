"""The shipped JavaScript client and React hook in Chromium, against a live server.

React is the one that django-ninja's documentation page is made with: Swagger UI renders our
component, and gives what the module "react" would.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.chaos.proxy import Proxy
from tests.fakes.provider import FakeProvider
from tests.process.blocking import without_websockets
from tests.process.client import Client, check_order, story_of, text_of
from tests.process.product import ROOT, Product

pytestmark = pytest.mark.browser

README = (ROOT / "examples" / "README.md").read_text()
LONG = "[[fake tokens=400 gap_ms=20]]"
IMPORTS = '{"imports": {"react": "/examples/react.js"}}'
REACT = """
const { React } = SwaggerUIBundle({ spec: {} });
export const { createElement, useCallback, useEffect, useReducer } = React;
"""
#: Follows a session in the page, into `events`, as a program would.
FOLLOW = """async ({ apiKey, wish }) => {
  const { Chatledger, TERMINAL } = await import("/examples/javascript/chatledger.js");
  window.chat = new Chatledger({ apiKey });
  const { session_id: sessionId } = await chat.createSession();
  window.read = async (events, options) => {
    for await (const event of chat.follow(sessionId, { after: 0, ...options })) {
      events.push(event);
      if (TERMINAL.has(event.type)) break;
    }
    return events;
  };
  window.sent = await chat.send(sessionId, wish);
  window.connections = [];
  window.events = [];
  const onConnection = (isOpen) => connections.push(isOpen);
  window.reading = read(events, { onConnection });
  return sessionId;
}"""
#: The hook in a component: a message is sent by the form, and stopped by the other button.
COMPONENT = """async ([sessionId, apiKey]) => {
  const { createElement: h } = await import("react");
  const { Chatledger } = await import("/examples/javascript/chatledger.js");
  const { useChatledger } = await import("/examples/react/useChatledger.js");
  const chat = new Chatledger({ apiKey });
  window.costs = new Set();
  window.statuses = new Set();
  const Talk = () => {
    const { messages, status, cost, error, send, stop } = useChatledger(chat, sessionId);
    costs.add(cost?.total);
    statuses.add(status);
    return h("main", null,
      h("output", { id: "status" }, status),
      h("output", { id: "cost" }, cost ? `${cost.tokens} for ${cost.total}` : ""),
      h("output", { id: "error" }, error?.code ?? ""),
      h("ol", null, messages.map((message) =>
        h("li", { key: message.id, "data-complete": message.isComplete },
          `${message.role}: ${message.text}`))),
      h("form", { onSubmit: (event) => {
        event.preventDefault();
        send(event.target.elements.text.value);
      } }, h("input", { name: "text" }), h("button", null, "Send")),
      h("button", { onClick: stop }, "Stop"));
  };
  SwaggerUIBundle({
    dom_id: "#root", spec: {}, layout: "Talk", plugins: [() => ({ components: { Talk } })],
  });
}"""


def serve(route: Route) -> None:
    """Serve what a site would have copied from the examples."""
    path = urlsplit(route.request.url).path
    if path == "/examples/react.js":
        route.fulfill(body=REACT, content_type="text/javascript")
    else:
        route.fulfill(path=ROOT / path.lstrip("/"))


def open_in(context: BrowserContext, url: str = "") -> Page:
    """An empty page of a host. It really comes from there: others may open no local sockets."""
    context.route("**/examples/**", serve)
    opened = context.new_page()
    opened.goto(f"{url}/health")
    opened.evaluate("document.body.innerHTML = '<div id=root></div>'")
    opened.add_script_tag(type="importmap", content=IMPORTS)
    opened.add_script_tag(url="/static/ninja/swagger-ui-bundle.js")
    return opened


@pytest.fixture
def page(new_context: Callable[..., BrowserContext]) -> Page:
    return open_in(new_context())


@pytest.fixture
def elsewhere(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that may go to other addresses, and where connections may break."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def guarded(tmp_path_factory: pytest.TempPathFactory, provider: FakeProvider) -> Iterator[Product]:
    """A product that wants a key, and whose web process may be killed."""
    with Product(
        tmp_path_factory.mktemp("guarded") / "data",
        AUTH="required",
        LLM_PROVIDER="openai",
        OPENAI_BASE_URL=provider.base_url,
        OPENAI_MODEL="gpt-4o-mini",
    ) as started:
        yield started


@pytest.fixture
def blocking_proxy(product: Product) -> Iterator[Proxy]:
    with without_websockets(product) as proxy:
        yield proxy


def fails(page: Page, code: str) -> Any:
    """The `code` that a call in the page fails with."""
    return page.evaluate(
        f"async () => {{ try {{ {code} }} catch (error) {{ return error.code }} }}"
    )


def test_F71_the_module_and_the_hook_go_on_where_a_killed_server_broke(
    guarded: Product, elsewhere: BrowserContext
) -> None:
    page, asked = open_in(elsewhere, guarded.url), []
    page.on("request", lambda request: asked.append(request.url))
    key = guarded.new_api_key()
    session_id = page.evaluate(FOLLOW, {"apiKey": key, "wish": LONG})
    page.evaluate(COMPONENT, [session_id, key])
    page.wait_for_function("events.filter(({ type }) => type === 'text.delta').length > 20")
    guarded.kill("web")
    events = page.evaluate("reading")
    check_order(events)
    assert events[-1]["type"] == "run.finished"
    assert len(text_of(events).split()) == 400
    answer = page.get_by_role("listitem").last
    expect(answer).to_have_text(f"assistant: {text_of(events)}")
    assert page.evaluate("statuses.has('reconnecting')")
    assert story_of(events) == story_of(page.evaluate("read([])"))
    assert page.evaluate("connections") == [True, False, True]
    assert not any("/events?" in address for address in asked)
    run = page.evaluate("chat.run(sent.run_id)")
    assert run["cost"] == [e["total"] for e in events if e["type"] == "cost.updated"][-1]
    assert fails(page, "await chat.session('nobody-s')") == "unknown_session"
    without_key = "const { Chatledger } = await import('/examples/javascript/chatledger.js');"
    assert fails(page, f"{without_key} await new Chatledger().models()") == "not_authenticated"


def test_F71_the_module_falls_back_to_server_sent_events_and_stops(
    blocking_proxy: Proxy, client: Client, elsewhere: BrowserContext
) -> None:
    page = open_in(elsewhere, f"http://127.0.0.1:{blocking_proxy.port}")
    session_id = page.evaluate(FOLLOW, {"wish": LONG})
    page.wait_for_function("events.filter(({ type }) => type === 'text.delta').length > 5")
    assert page.evaluate("chat.stop(sent.run_id)")["run_id"] == page.evaluate("sent.run_id")
    events = page.evaluate("reading")
    check_order(events)
    assert events[-1]["type"] == "run.cancelled"
    assert client.answer_of(client.run(events[-1]["run_id"])) == text_of(events)
    assert blocking_proxy.lost_answers > 0
    # Who does not want to follow any more is left alone, in the middle of nothing too.
    page.evaluate(
        """([sessionId]) => {
          window.leaving = new AbortController();
          window.left = (async () => {
            const { signal } = leaving;
            const onConnection = () => leaving.abort();
            for await (const event of chat.follow(sessionId, { signal, onConnection })) event;
            return "left";
          })();
        }""",
        [session_id],
    )
    assert page.evaluate("left") == "left"


def test_F36_the_module_of_the_readme_works(page: Page, product: Product) -> None:
    (code,) = re.findall(r"```js\n(.*?)```", README, re.DOTALL)
    code = code.replace("./javascript", "/examples/javascript")
    code = code.replace("http://localhost:8000", product.url)
    page.add_script_tag(type="module", content=code)
    said = r"/^\d+ tokens, 0\.\d+ USD$/.test(document.title)"
    page.wait_for_function(said, timeout=30_000)
    assert page.inner_text("body").strip()


def test_F71_the_hook_shows_the_answer_as_it_grows_and_stops_it(page: Page, client: Client) -> None:
    session_id = client.new_session()
    page.evaluate(COMPONENT, [session_id])
    status, items = page.locator("#status"), page.get_by_role("listitem")
    expect(status).to_have_text("idle")
    page.get_by_role("textbox").fill("[[fake tokens=60 gap_ms=10]]")
    page.get_by_role("button", name="Send").click()
    expect(status).to_have_text("running")
    expect(items.last).to_have_attribute("data-complete", "false")
    expect(status).to_have_text("idle")
    (run,) = client.get(f"/api/sessions/{session_id}/costs")["runs"]
    answer = client.answer_of(client.run(run["run_id"]))
    expect(items).to_have_text(["user: [[fake tokens=60 gap_ms=10]]", f"assistant: {answer}"])
    expect(page.locator("#cost")).to_have_text(f"60 for {run['cost']}")
    assert page.evaluate("costs.size") > 5
    page.get_by_role("textbox").fill(LONG)
    page.get_by_role("button", name="Send").click()
    expect(items).to_have_count(4)
    expect(items.last).to_have_attribute("data-complete", "false")
    # Another page of the same session has all of it, and stops what this one asked.
    other = open_in(page.context)
    other.evaluate(COMPONENT, [session_id])
    expect(other.get_by_role("listitem")).to_have_count(4)
    expect(other.locator("#status")).to_have_text("running")
    other.get_by_role("button", name="Stop").click()
    for each in (page, other):
        expect(each.locator("#status")).to_have_text("idle")
        expect(each.get_by_role("listitem").last).to_have_attribute("data-complete", "true")
    assert page.inner_text("ol") == other.inner_text("ol")
    page.get_by_role("textbox").fill("[[fake fault=400]]")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#error")).not_to_be_empty()
    expect(status).to_have_text("idle")


def test_F71_the_hook_says_that_there_is_no_such_session(page: Page) -> None:
    page.evaluate(COMPONENT, ["no-such-conversation"])
    expect(page.locator("#status")).to_have_text("failed")
    expect(page.locator("#error")).to_have_text("unknown_session")
