"""The page in Chromium, on a product of its own; whatever goes wrong in it fails the test."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from tests import install_browser
from tests.browser.chat_page import ChatPage
from tests.fakes.provider import FakeProvider
from tests.process.client import Client
from tests.process.product import Product

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PATIENCE_MS = 20_000
#: What Chromium says of what the tests cause on purpose: lost connections, an unknown session.
EXPECTED = ("net::ERR_", "WebSocket connection to", "/api/sessions/no-such-conversation")


@pytest.fixture(scope="package")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider.in_thread() as fake:
        yield fake


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory, provider: FakeProvider) -> Iterator[Product]:
    with Product(
        tmp_path_factory.mktemp("browser") / "data",
        LLM_PROVIDER="openai",
        OPENAI_BASE_URL=provider.base_url,
        OPENAI_MODEL="gpt-4o-mini",
        LLM_MAX_RETRIES="0",
    ) as started:
        yield started


@pytest.fixture(scope="package")
def client(product: Product) -> Iterator[Client]:
    made = Client(product)
    yield made
    made.close()


# For this package only: while Playwright runs, no other event loop can.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = install_browser.executable()
    assert path, "there is no Chromium: python -m tests.install_browser"
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield launched
        launched.close()


class Watched:
    """A browser context whose pages may neither fail nor ask other hosts for anything."""

    def __init__(self, context: BrowserContext, host: str) -> None:
        self.context = context
        self.problems: list[str] = []
        self._host = host
        context.on("page", self._watch)

    def close(self) -> None:
        for page in self.context.pages:
            # What the page has said by now arrives before this answer.
            page.title()
        self.context.close()

    def _watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("console", self._note_console)
        page.on("request", lambda request: self._note_address(request.url))
        page.on("websocket", lambda socket: self._note_address(socket.url))

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        said = f"{message.text} {message.location['url']}"
        if not any(words in said for words in EXPECTED):
            self.problems.append(said)

    def _note_address(self, address: str) -> None:
        if urlsplit(address).netloc != self._host and not address.startswith("data:"):
            self.problems.append(f"asked for {address}")


@pytest.fixture
def new_context(browser: Browser, product: Product) -> Iterator[Callable[..., BrowserContext]]:
    """Makes contexts, each a browser of its own; at the end they must have had no problems."""
    made: list[Watched] = []

    def make(**options: object) -> BrowserContext:
        context = browser.new_context(base_url=product.url, **options)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE_MS)
        made.append(Watched(context, product.url.removeprefix("http://")))
        return context

    yield make
    for watched in made:
        watched.close()
    assert [problem for watched in made for problem in watched.problems] == []


@pytest.fixture
def chat(new_context: Callable[..., BrowserContext], client: Client) -> ChatPage:
    """The chat page, opened at its start."""
    return ChatPage(new_context().new_page(), client).open("/")
