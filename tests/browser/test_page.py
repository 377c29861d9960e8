"""The page around a conversation: the list, the model picker, narrow screens, the admin."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.chat_page import ADDRESS, ChatPage
from tests.process.client import Client
from tests.process.product import Product

pytestmark = pytest.mark.browser


def test_the_examples_are_such_that_the_model_can_do_them(chat: ChatPage) -> None:
    examples = chat.page.get_by_test_id("example-prompt").filter(visible=True)
    expect(examples.first).to_have_text("What is 12.5% of 3,480?")
    model = {"model": "local:small", "provider": "local", "name": "small", "is_default": True}
    offered = {"items": [{**model, "supports_tools": False, "price": None}], "default": None}
    chat.page.route("**/api/models", lambda route: route.fulfill(json=offered))
    chat.page.reload()
    expect(examples.first).to_have_text("Write a haiku about the sea")
    expect(examples).to_have_count(3)


def test_a_conversation_is_renamed(chat: ChatPage) -> None:
    chat.ask("A name to be changed [[fake tokens=1]]")
    row = chat.sessions.first
    row.hover()
    row.get_by_test_id("session-rename").click()
    chat.page.get_by_test_id("rename-input").fill("Better <b>name</b>")
    chat.page.get_by_test_id("confirm-rename").click()
    expect(row).to_contain_text("Better <b>name</b>")
    expect(chat.page.get_by_test_id("chat-title")).to_have_text("Better <b>name</b>")
    chat.page.reload()
    expect(chat.sessions.first).to_contain_text("Better <b>name</b>")


def test_a_conversation_is_deleted_once_it_is_confirmed(chat: ChatPage) -> None:
    chat.ask(f"To be deleted {uuid4()} [[fake tokens=1]]")
    session_id = chat.session_id
    row = chat.page.locator(f'[data-session-id="{session_id}"]')
    row.hover()
    row.get_by_test_id("session-delete").click()
    dialog = chat.page.get_by_test_id("delete-dialog")
    dialog.get_by_role("button", name="Cancel").click()
    expect(row).to_be_visible()
    row.hover()
    row.get_by_test_id("session-delete").click()
    chat.page.get_by_test_id("confirm-delete").click()
    expect(row).to_have_count(0)
    expect(chat.page.get_by_test_id("empty-state")).to_be_visible()
    assert chat.client.http.get(f"/api/sessions/{session_id}").status_code == 404


def test_conversations_are_filtered_and_opened(chat: ChatPage) -> None:
    word = uuid4().hex
    chat.ask(f"{word} [[fake tokens=2]]")
    chat.page.get_by_test_id("new-chat").first.click()
    expect(chat.turns).to_have_count(0)
    chat.page.keyboard.press("Control+k")
    expect(chat.page.get_by_test_id("session-filter")).to_be_focused()
    chat.page.get_by_test_id("session-filter").fill(word)
    expect(chat.sessions).to_have_count(1)
    chat.sessions.get_by_test_id("session-open").click()
    expect(chat.page).to_have_url(ADDRESS)
    expect(chat.questions).to_contain_text(word)
    chat.page.go_back()
    expect(chat.turns).to_have_count(0)


def test_the_model_picker_chooses_for_the_session(chat: ChatPage) -> None:
    picker = chat.page.get_by_test_id("model-picker")
    expect(picker).to_have_value("openai:gpt-4o-mini")
    expect(chat.page.get_by_test_id("model-price")).to_have_text("$0.15 in · $0.60 out per 1M")
    picker.select_option("scripted:demo")
    expect(chat.page.get_by_test_id("model-price")).to_have_text("$1.00 in · $4.00 out per 1M")
    chat.ask("[[tokens=3]]")
    expect(chat.answers).to_have_text("w0 w1 w2")
    run = chat.client.run(chat.stored()[-1]["run_id"])
    assert run["model"] == "scripted:demo"
    picker.select_option("openai:gpt-4o-mini")
    chat.ask("[[fake tokens=1]]")
    run = chat.client.run(chat.stored()[-1]["run_id"])
    assert run["model"] == "openai:gpt-4o-mini"
    chat.page.reload()
    expect(picker).to_have_value("openai:gpt-4o-mini")


def width_of_content(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth"))


def test_a_narrow_screen_scrolls_only_down(
    new_context: Callable[..., BrowserContext], client: Client
) -> None:
    context = new_context(viewport={"width": 360, "height": 640}, has_touch=True)
    chat = ChatPage(context.new_page(), client).open("/")
    assert width_of_content(chat.page) == 360
    long_word = "x" * 300
    chat.ask(f'{long_word} [[fake text="{long_word}\\n\\n```\\n{long_word}\\n```\\n" cut=100]]')
    chat.ask('[[fake tool=calculator args={"expression":"1+1"}]]')
    assert width_of_content(chat.page) == 360
    sidebar = chat.page.get_by_test_id("sidebar")
    expect(sidebar).not_to_be_in_viewport()
    chat.page.get_by_test_id("open-sidebar").click()
    expect(sidebar).to_be_in_viewport()
    chat.sessions.first.get_by_test_id("session-open").click()
    expect(sidebar).not_to_be_in_viewport()
    expect(chat.turns).to_have_count(2)


def test_the_admin_opens_with_the_printed_password(
    new_context: Callable[..., BrowserContext], product: Product
) -> None:
    page = new_context().new_page()
    page.goto("/admin/")
    expect(page).to_have_url(f"{product.url}/admin/login/?next=/admin/")
    name, password = product.printed_password or ("", "")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator(".errornote")).to_be_visible()
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{product.url}/admin/")
    expect(page.get_by_role("link", name="Ledger entries")).to_be_visible()
