"""What the tests of the agent share."""

import pytest

from chat.agent import breakers


@pytest.fixture(autouse=True)
def _no_outage_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outages that one test causes are none for the next."""
    monkeypatch.setattr(breakers, "_factory", breakers.new_factory())
