"""What a tool made is shown in the page, can be saved, and is there again after a reload."""

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage

pytestmark = pytest.mark.browser

CHART = '[[fake tool=chart args={"title":"Fruit","values":{"apples":3,"pears":5}}]]'


def test_F69_a_picture_is_shown_described_and_saved(chat: ChatPage) -> None:
    turn = chat.ask(CHART)
    picture = turn.get_by_role("img", name="Fruit (apples: 3, pears: 5)")
    expect(picture).to_be_visible()
    chat.page.reload()
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("naturalWidth", 960)
    link = turn.get_by_role("link", name="chart.png")
    link.focus()
    with chat.page.expect_download() as saved:
        chat.page.keyboard.press("Enter")
    assert saved.value.suggested_filename == "chart.png"
    assert saved.value.path().read_bytes().startswith(b"\x89PNG")
    chat.page.set_viewport_size({"width": 320, "height": 600})
    box = picture.bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 320
