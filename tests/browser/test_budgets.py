"""A budget in the page: what is said when it is nearly used up, and when it is."""

import subprocess
import sys
from decimal import Decimal

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.process.product import ROOT, Product

pytestmark = pytest.mark.browser

MAKE_BUDGET = """
from chat.models import ChatSession
from costs.models import Budget
key = ChatSession.objects.get(session_id={session_id!r}).ledger_key
Budget.objects.create(scope="session", key=key, period="day", limit_pico={limit}, soft_percent=10)
"""


def test_an_answer_stops_where_the_budget_ends_and_its_text_stays(
    chat: ChatPage, product: Product
) -> None:
    chat.ask("[[fake tokens=100]]")
    costs = chat.client.http.get(f"/api/sessions/{chat.session_id}/costs").json()
    limit = int(Decimal(costs["total"]) * 5 * 10**12)
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-c",
         MAKE_BUDGET.format(session_id=chat.session_id, limit=limit)],
        cwd=ROOT, env=product.whole_environment, check=True, capture_output=True,
    )  # fmt: skip
    turn = chat.ask("[[fake tokens=1000 gap_ms=5]]")
    expect(turn.get_by_test_id("run-error-code")).to_have_text("budget_exceeded")
    expect(turn.get_by_test_id("budget-warning")).to_have_text(
        "20 % of this conversation's budget for today is used."
    )
    words = chat.stored_texts("assistant")[-1].split()
    assert 20 < len(words) < 800
    expect(chat.answers.last).to_contain_text(words[-1])
