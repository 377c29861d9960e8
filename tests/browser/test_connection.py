"""A lost connection: the page says so, comes back by itself, and loses and doubles nothing."""

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.process.product import Product

pytestmark = pytest.mark.browser


def cut_off(chat: ChatPage, product: Product) -> None:
    """Take the network away; an open WebSocket would survive that, so it is ended too."""
    chat.page.context.set_offline(True)
    product.kill("web")


def test_offline_is_told_and_a_message_written_meanwhile_arrives_once(
    chat: ChatPage, product: Product
) -> None:
    chat.ask("before [[fake tokens=2]]")
    expect(chat.banner).to_be_hidden()
    cut_off(chat, product)
    expect(chat.banner).to_be_visible()
    chat.say("meanwhile [[fake tokens=2]]")
    expect(chat.page.get_by_test_id("pending-note")).to_contain_text("Waiting for the connection")
    chat.page.context.set_offline(False)
    expect(chat.banner).to_be_hidden(timeout=20_000)
    expect(chat.turns).to_have_count(2)
    chat.wait_until_ended()
    expect(chat.page.get_by_test_id("pending-note")).to_have_count(0)
    assert chat.stored_texts("user") == ["before [[fake tokens=2]]", "meanwhile [[fake tokens=2]]"]
    assert len(chat.stored_texts("assistant")) == 2


def test_a_message_survives_a_reload_without_a_connection(chat: ChatPage, product: Product) -> None:
    chat.ask("before [[fake tokens=2]]")
    cut_off(chat, product)
    expect(chat.banner).to_be_visible()
    chat.say("kept [[fake tokens=2]]")
    expect(chat.page.get_by_test_id("pending-note")).to_be_visible()
    chat.page.context.set_offline(False)
    chat.page.reload()
    expect(chat.turns).to_have_count(2, timeout=20_000)
    chat.wait_until_ended()
    assert chat.stored_texts("user") == ["before [[fake tokens=2]]", "kept [[fake tokens=2]]"]


def test_an_answer_goes_on_when_the_web_process_is_killed(chat: ChatPage, product: Product) -> None:
    chat.say("[[fake tokens=150 gap_ms=20]]")
    chat.wait_until_streaming(".20 ")
    product.kill("web")
    expect(chat.banner).to_be_visible()
    expect(chat.banner).to_be_hidden(timeout=20_000)
    turn = chat.wait_until_ended()
    expect(turn).to_have_attribute("data-status", "finished")
    (kept,) = chat.stored_texts("assistant")
    expect(chat.answers).to_have_text(kept.strip())
    assert kept.count(".149 ") == 1
