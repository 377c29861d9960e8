"""The operators' page in a browser: it draws, obeys its own policy and fits small screens."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.process.client import Client
from tests.process.product import Product

pytestmark = pytest.mark.browser


def test_F70_the_dashboard_is_found_drawn_and_fits_a_phone(
    new_context: Callable[..., BrowserContext], product: Product, client: Client
) -> None:
    client.ask("[[fake tokens=5]]")
    page = new_context(viewport={"width": 390, "height": 844}, color_scheme="dark").new_page()
    page.goto("/admin/")
    assert product.printed_password
    for label, value in zip(("Username", "Password"), product.printed_password, strict=True):
        page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="How the streams go").click()
    chart = page.get_by_role("img", name="Runs that ended")
    expect(chart).to_be_visible()
    # The style sheet has coloured it.
    finished = chart.locator(".color-0 .rect").last
    assert finished.evaluate("bar => getComputedStyle(bar).fill") == "rgb(46, 139, 106)"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_text("As a table").first.click()
    expect(page.get_by_role("columnheader", name="finished")).to_be_visible()
    page.get_by_role("link", name="last day").click()
    expect(page.get_by_role("link", name="last day")).to_have_attribute("aria-current", "page")
