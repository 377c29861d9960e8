"""The chat page as its users see it: what they find on it, and what they do with it."""

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.process.client import Client

ADDRESS = re.compile(r"/s/([^/]+)$")


class ChatPage:
    """One tab."""

    def __init__(self, page: Page, client: Client) -> None:
        self.page = page
        self.client = client
        self.input = page.get_by_test_id("composer-input")
        self.stop = page.get_by_test_id("stop")
        self.banner = page.get_by_test_id("connection-banner")
        self.turns = page.get_by_test_id("turn")
        self.sessions = page.get_by_test_id("session-item")

    def open(self, path: str) -> "ChatPage":
        self.page.goto(path)
        expect(self.page.get_by_test_id("model-picker")).to_be_enabled()
        return self

    def another_tab(self) -> "ChatPage":
        """A second tab of the same browser on the same conversation."""
        return ChatPage(self.page.context.new_page(), self.client).open(self.page.url)

    def say(self, text: str) -> None:
        self.input.fill(text)
        self.input.press("Enter")

    def ask(self, text: str) -> Locator:
        """Say something and wait until its answer has ended; gives the last turn."""
        count = self.turns.count()
        self.say(text)
        expect(self.turns).to_have_count(count + 1)
        return self.wait_until_ended()

    def wait_until_ended(self) -> Locator:
        """Wait until the last run has ended; gives its turn."""
        turn = self.turns.last
        expect(turn).to_have_attribute("data-status", re.compile("finished|failed|cancelled"))
        return turn

    def wait_until_streaming(self, text: str = "w") -> Locator:
        """Wait until some of an answer is there; gives its text."""
        answer = self.answers.last
        expect(answer).to_contain_text(text)
        return answer

    @property
    def session_id(self) -> str:
        expect(self.page).to_have_url(ADDRESS)
        found = ADDRESS.search(self.page.url)
        assert found
        return found[1]

    @property
    def answers(self) -> Locator:
        return self.texts_of("assistant")

    @property
    def questions(self) -> Locator:
        return self.texts_of("user")

    def texts_of(self, role: str) -> Locator:
        message = self.page.locator(f'[data-testid="message"][data-role="{role}"]')
        return message.get_by_test_id("message-text")

    def stored(self) -> list[dict[str, Any]]:
        """The conversation as REST keeps it, oldest first."""
        page = self.client.get(f"/api/sessions/{self.session_id}/messages?limit=100")
        items: list[dict[str, Any]] = page["items"]
        return items[::-1]

    def stored_texts(self, role: str) -> list[str]:
        return [
            "".join(part.get("text", "") for part in message["parts"])
            for message in self.stored()
            if message["role"] == role
        ]
