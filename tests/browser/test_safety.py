"""What a model writes is shown and never run, and the page asks no other host for anything."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.chat_page import ChatPage
from tests.process.client import Client

pytestmark = pytest.mark.browser

MARKDOWN = """# Heading

A **bold** word, `code`, and [a link](https://example.com/a?b=c).

* one
* two

| a | b |
|---|---|
| 1 | 2 |

```python
print("<b>")
```
"""
HOSTILE = """<script>document.title = "broken into"</script>
<img src="https://evil.example/a.png" onerror="document.title = 'broken into'">
<svg onload="document.title = 'broken into'"></svg>
<iframe src="https://evil.example/"></iframe>
<style>@import url("https://evil.example/a.css");</style>
<a href="javascript:document.title='broken into'">raw</a>

[link](javascript:document.title='broken-into') [data](data:text/html,<script>1</script>)
![image](https://evil.example/b.png) ![x](https://evil.example/c.png"onerror="alert(1))
[spaced]( java\tscript:document.title=1) <https://evil.example/auto>
"""


def say_text(chat: ChatPage, text: str, *, wish: str = "") -> None:
    turn = chat.ask(f"[[fake text={json.dumps(text)} {wish}]]")
    expect(turn).to_have_attribute("data-status", "finished")


def test_markdown_is_rendered(chat: ChatPage) -> None:
    say_text(chat, MARKDOWN)
    answer = chat.answers.last
    expect(answer.locator("h1")).to_have_text("Heading")
    expect(answer.locator("strong")).to_have_text("bold")
    expect(answer.locator("li")).to_have_text(["one", "two"])
    expect(answer.locator("td")).to_have_text(["1", "2"])
    expect(answer.locator("pre code")).to_contain_text('print("<b>")')
    link = answer.locator("a")
    expect(link).to_have_attribute("href", "https://example.com/a?b=c")
    assert "noopener" in (link.get_attribute("rel") or "")


@pytest.mark.parametrize("cut", ["cut=1000", "cut=1"])
def test_M_1_hostile_text_is_inert(chat: ChatPage, cut: str) -> None:
    say_text(chat, HOSTILE, wish=cut)
    answer = chat.answers.last
    expect(answer).to_contain_text("<script>")
    for element in ("script", "img", "svg", "iframe", "style", "object", "form"):
        expect(answer.locator(element)).to_have_count(0)
    addresses = [link.get_attribute("href") or "" for link in answer.locator("a").all()]
    assert all(address.startswith(("http:", "https:")) or not address for address in addresses)
    answer.get_by_text("raw").click()
    expect(chat.page).not_to_have_title("broken into")
    # The same from the store, where the whole text is there at once.
    chat.page.reload()
    expect(answer).to_contain_text("<script>")
    expect(answer.locator("script, img, svg, iframe, style")).to_have_count(0)
    expect(chat.page).not_to_have_title("broken into")


def test_M_1_a_user_s_text_and_a_title_are_inert(chat: ChatPage) -> None:
    chat.ask("<img src=x onerror=alert(1)> **not bold** [[fake tokens=1]]")
    expect(chat.questions).to_contain_text("<img src=x onerror=alert(1)> **not bold**")
    expect(chat.questions.locator("img, strong")).to_have_count(0)
    expect(chat.page.get_by_test_id("chat-title")).to_contain_text("<img")


def test_A_8_the_policy_forbids_inline_scripts(
    new_context: Callable[..., BrowserContext], client: Client
) -> None:
    answer = client.http.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    page = new_context().new_page()
    page.goto("/")
    # The page works under its policy without a word on the console.
    expect(page.get_by_test_id("model-picker")).to_be_enabled()


def test_a_stranger_s_conversation_is_not_found(chat: ChatPage) -> None:
    chat.page.goto("/s/no-such-conversation")
    expect(chat.page.get_by_test_id("problem")).to_contain_text("Not found here")
    expect(chat.page.get_by_test_id("loading")).to_be_hidden()


def test_R_21_the_api_s_description_asks_no_other_host(
    new_context: Callable[..., BrowserContext],
) -> None:
    page = new_context().new_page()
    page.goto("/docs")
    expect(page.get_by_text("/api/sessions/{session_id}/messages").first).to_be_visible()
