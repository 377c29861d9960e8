"""Without WebSockets the page goes on by server-sent events, and back, and nobody notices."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.chat_page import ChatPage
from tests.process.client import Client

pytestmark = pytest.mark.browser

#: A WebSocket whose upgrade the server refuses while the page says so.
BLOCKING = """
window.areUpgradesRefused = true;
window.WebSocket = class extends WebSocket {
  constructor(url) {
    super(window.areUpgradesRefused ? url.replace("/ws/", "/refused/") : url);
  }
};
window.bannersSeen = 0;
addEventListener("DOMContentLoaded", () => {
  const banner = document.querySelector('[data-testid="connection-banner"]');
  new MutationObserver(() => (window.bannersSeen += !banner.hidden)).observe(banner, {
    attributes: true,
  });
});
"""


@pytest.fixture
def chat(new_context: Callable[..., BrowserContext], client: Client) -> ChatPage:
    page = new_context().new_page()
    page.add_init_script(BLOCKING)
    return ChatPage(page, client).open("/")


def test_F67_the_page_works_without_websockets(chat: ChatPage) -> None:
    with chat.page.expect_request("**/events?*"):
        turn = chat.ask("one [[fake tokens=3]]")
    expect(turn).to_have_attribute("data-status", "finished")
    chat.say("two [[fake tokens=2000 gap_ms=20]]")
    chat.wait_until_streaming(".5 ")
    chat.stop.click()
    expect(chat.wait_until_ended()).to_have_attribute("data-status", "cancelled")
    other = chat.another_tab()
    expect(other.turns).to_have_count(2)
    assert chat.stored_texts("user") == [
        "one [[fake tokens=3]]",
        "two [[fake tokens=2000 gap_ms=20]]",
    ]
    assert chat.page.evaluate("bannersSeen") == 0


def test_F67_the_page_goes_back_to_a_websocket_in_the_middle_of_an_answer(chat: ChatPage) -> None:
    chat.say("[[fake tokens=500 gap_ms=20]]")
    chat.wait_until_streaming(".5 ")
    with chat.page.expect_websocket(lambda socket: "/ws/sessions/" in socket.url) as opened:
        chat.page.evaluate("areUpgradesRefused = false")
    expect(chat.wait_until_ended()).to_have_attribute("data-status", "finished")
    assert not opened.value.is_closed()
    (kept,) = chat.stored_texts("assistant")
    expect(chat.answers).to_have_text(kept.strip())
    chat.ask("again [[fake tokens=2]]")
    assert len(chat.stored_texts("user")) == len(chat.stored_texts("assistant")) == 2
    assert chat.page.evaluate("bannersSeen") == 0


def test_F67_a_message_is_sent_once_when_its_answer_is_lost(chat: ChatPage) -> None:
    lost = []

    def lose(route):
        lost.append(route.fetch())
        route.abort()

    chat.ask("before [[fake tokens=2]]")
    chat.page.route("**/messages", lose, times=1)
    chat.ask("once [[fake tokens=2]]")
    assert [response.status for response in lost] == [202]
    assert chat.stored_texts("user") == ["before [[fake tokens=2]]", "once [[fake tokens=2]]"]
