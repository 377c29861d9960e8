"""Fixtures for the edges: a session that everybody has, and a worker that hears at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from chat import doorbell
from chat.event_log import Place
from chat.models import ChatSession, Run


@pytest.fixture
def mine(transactional_db):
    return ChatSession.objects.create(owner_key="open", session_id="mine", model="scripted:demo")


@pytest.fixture
def place(session, redis):
    """Where a run of the session puts its events."""
    run = Run.objects.create(session=session, queued_seq=1, model="scripted:demo")
    return Place(session_pk=session.pk, session_id=session.session_id, run_id=run.pk, attempt=0)


@pytest.fixture
def ringing(worker, monkeypatch):
    """The worker hears every bell, as over a broker, but at once."""
    pool = ThreadPoolExecutor(30)
    monkeypatch.setattr(doorbell, "ring", lambda run_id: pool.submit(worker.execute, run_id))
    yield worker
    pool.shutdown(wait=False, cancel_futures=True)
