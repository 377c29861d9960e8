"""A conversation in the page: it streams, is shared, survives a reload, and can be stopped."""

import re
import time
from decimal import Decimal

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.fakes.provider import FakeProvider

pytestmark = pytest.mark.browser

SLOW = "[[fake tokens=80 gap_ms=25]]"
ENDLESS = "[[fake tokens=2000 gap_ms=25]]"


def test_F72_the_first_message_streams_and_finishes(chat: ChatPage, provider: FakeProvider) -> None:
    expect(chat.page.get_by_test_id("empty-state")).to_be_visible()
    chat.say(f"How are you? {SLOW}")
    answer = chat.wait_until_streaming()
    expect(chat.page.get_by_test_id("message").last).to_have_attribute("data-state", "streaming")
    early = answer.inner_text()
    chat.wait_until_ended()
    said = provider.requests[-1].text_sent.strip()
    expect(answer).to_have_text(said)
    assert len(early) < len(said)
    assert chat.stored_texts("assistant") == [provider.requests[-1].text_sent]
    # The first words became the title.
    expect(chat.page.get_by_test_id("chat-title")).to_contain_text("How are you?")
    expect(chat.sessions.first).to_contain_text("How are you?")


def test_two_tabs_show_the_same(chat: ChatPage) -> None:
    chat.ask("first [[fake tokens=3]]")
    other = chat.another_tab()
    chat.say(SLOW)
    other.wait_until_streaming("w")
    expect(other.stop).to_be_visible()
    for tab in (chat, other):
        expect(tab.turns).to_have_count(2)
        tab.wait_until_ended()
    assert other.answers.all_inner_texts() == chat.answers.all_inner_texts()
    assert other.questions.all_inner_texts() == chat.questions.all_inner_texts()


def test_a_reload_in_mid_stream_loses_nothing(chat: ChatPage) -> None:
    chat.say(SLOW)
    chat.wait_until_streaming(".9 ")
    chat.page.reload()
    expect(chat.turns).to_have_count(1)
    chat.wait_until_streaming("w")
    chat.wait_until_ended()
    expect(chat.answers).to_have_text([text.strip() for text in chat.stored_texts("assistant")])
    expect(chat.questions).to_have_text(SLOW)


def test_what_was_stopped_can_be_asked_again(chat: ChatPage) -> None:
    chat.say(ENDLESS)
    chat.wait_until_streaming(".5 ")
    chat.page.keyboard.type("meanwhile")
    chat.page.keyboard.press("Enter")
    notice = chat.page.get_by_test_id("notice")
    expect(notice).to_contain_text("Wait for the answer")
    chat.stop.click()
    expect(notice).to_have_count(0)
    chat.page.reload()
    expect(chat.turns).to_have_attribute("data-status", "cancelled")
    chat.turns.get_by_test_id("retry").click()
    expect(chat.turns).to_have_count(2)
    expect(chat.turns.first.get_by_test_id("retry")).to_have_count(0)
    chat.wait_until_streaming(".5 ")
    chat.stop.click()
    first, second = chat.stored_texts("user")
    assert first == second


@pytest.mark.parametrize("way", ["button", "escape"])
def test_stop_takes_less_than_a_second(chat: ChatPage, way: str) -> None:
    chat.say(ENDLESS)
    answer = chat.wait_until_streaming(".5 ")
    started = time.monotonic()
    if way == "button":
        chat.stop.click()
    else:
        chat.page.keyboard.press("Escape")
    expect(chat.page.get_by_test_id("stopped-mark")).to_have_text("Stopped")
    assert time.monotonic() - started < 1
    expect(chat.stop).to_be_hidden()
    (kept,) = chat.stored_texts("assistant")
    expect(answer).to_have_text(kept.strip())
    # The conversation goes on.
    expect(chat.ask("again [[fake tokens=2]]")).to_have_attribute("data-status", "finished")


def test_the_live_cost_is_marked_as_an_estimate(chat: ChatPage) -> None:
    chat.say(SLOW)
    chat.wait_until_streaming(".9 ")
    cost = chat.page.get_by_test_id("message-cost")
    expect(cost).to_have_text(re.compile(r"^≈ \$0\.\d+ · \d+ tokens$"))
    expect(chat.page.get_by_test_id("session-cost")).to_contain_text("≈ $0.")
    early = cost.inner_text()
    chat.wait_until_ended()
    expect(cost).to_have_text(re.compile(r"^\$0\.\d+ · \d+ tokens$"))
    assert cost.inner_text() != early
    run = chat.client.run(chat.stored()[-1]["run_id"])
    total = run["usage"]["total_tokens"]
    expect(cost).to_contain_text(f"· {total} tokens")
    expect(cost).to_have_attribute("title", re.compile(re.escape(f"{run['cost']} USD")))
    expect(chat.page.get_by_test_id("session-cost")).not_to_contain_text("≈")


def test_the_parts_of_a_cost_are_told_on_demand_and_add_up(chat: ChatPage) -> None:
    chat.ask("[[fake tokens=20 cached=3 reasoning=9]]")
    run = chat.client.run(chat.stored()[-1]["run_id"])
    cost, bill = (chat.page.get_by_test_id(name) for name in ("message-cost", "bill"))
    expect(bill).to_be_hidden()
    cost.focus()
    chat.page.keyboard.press("Enter")
    expect(cost).to_have_attribute("aria-expanded", "true")
    names = ["Prompt", "Prompt, cached", "Answer", "Reasoning", "Together"]
    expect(bill.locator("th")).to_have_text(names)
    told = [row.split("\t") for row in bill.inner_text().splitlines()]
    parts = [[part["quantity"], part["cost"]] for part in run["charges"]]
    assert [[int(n), cost.removesuffix(" USD")] for _, n, cost in told[:-1]] == parts
    assert sum(Decimal(cost) for _, cost in parts) == Decimal(run["cost"])
    assert told[-1][-1] == f"{run['cost']} USD"
    cost.click()
    expect(bill).to_be_hidden()


def test_a_tool_call_is_a_card(chat: ChatPage) -> None:
    turn = chat.ask('[[fake tool=calculator args={"expression":"6*7"}]]')
    card = turn.get_by_test_id("tool-card")
    expect(card).to_have_attribute("data-state", "done")
    expect(card).to_contain_text("calculator")
    card.locator("summary").click()
    expect(card.get_by_test_id("tool-arguments")).to_contain_text('"expression": "6*7"')
    expect(card.get_by_test_id("tool-result")).to_have_text("42")
    expect(chat.answers).to_have_text("The result is 42.")
    chat.page.reload()
    expect(turn.get_by_test_id("tool-card")).to_have_attribute("data-state", "done")


def test_a_failed_run_tells_why_and_can_be_retried(chat: ChatPage) -> None:
    turn = chat.ask("[[fake tokens=9 gap_ms=5 eof@4 fault_times=1]]")
    expect(turn).to_have_attribute("data-status", "failed")
    expect(turn.get_by_test_id("run-error-code")).to_have_text("truncated")
    expect(turn.get_by_test_id("run-error-message")).to_contain_text("in the middle")
    expect(chat.answers.last).to_contain_text(".3")
    # A reload shows the same error.
    chat.page.reload()
    expect(turn.get_by_test_id("run-error-code")).to_have_text("truncated")
    turn.get_by_test_id("retry").click()
    expect(chat.turns).to_have_count(2)
    expect(chat.turns.first.get_by_test_id("retry")).to_be_hidden()
    expect(chat.turns.first.get_by_test_id("retried")).to_be_visible()
    expect(chat.wait_until_ended()).to_have_attribute("data-status", "finished")
    first, second = chat.stored_texts("user")
    assert first == second


def test_the_keyboard(chat: ChatPage) -> None:
    chat.input.press_sequentially("one")
    chat.input.press("Shift+Enter")
    chat.input.press_sequentially("two [[fake tokens=2]]")
    expect(chat.turns).to_have_count(0)
    chat.input.press("Enter")
    expect(chat.turns).to_have_count(1)
    chat.wait_until_ended()
    expect(chat.input).to_have_value("")
    assert chat.stored_texts("user") == ["one\ntwo [[fake tokens=2]]"]
    # An empty message goes nowhere.
    chat.input.fill("   ")
    chat.input.press("Enter")
    expect(chat.turns).to_have_count(1)
