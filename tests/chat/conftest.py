"""Fixtures for the edges: a session that everybody has, and a worker that hears at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from chat import runs
from chat.models import ChatSession


@pytest.fixture
def mine(transactional_db):
    return ChatSession.objects.create(owner_key="open", session_id="mine", model="scripted:demo")


@pytest.fixture
def ringing(worker, monkeypatch):
    """The worker hears every bell, as over a broker, but at once."""
    pool = ThreadPoolExecutor(30)
    monkeypatch.setattr(runs, "ring", lambda run_id: pool.submit(worker.execute, run_id))
    yield worker
    pool.shutdown(wait=False, cancel_futures=True)
