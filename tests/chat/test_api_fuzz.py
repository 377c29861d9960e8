"""REST: whatever is sent to whichever endpoint, the answer is no failure of the server."""

import json
from urllib.parse import quote

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat import doorbell
from chat.models import ChatSession

pytestmark = pytest.mark.django_db(transaction=True)

#: These wait for an answer, which nobody gives here.
ANSWERING = {"/chat", "/chat/stream", "/stream", "/invoke", "/invocations", "/a2a/v1/messages"}
IDS = st.sampled_from(["mine", "nobodys", "0", "..", "%00", "00000000-0000-4000-8000-000000000000"])
WORDS = st.text(max_size=20) | st.sampled_from(
    ["\0", "\ud800", "scripted:demo", "reject", "x" * 300]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=10,
)
FIELDS = ["text", "title", "model", "session_id", "if_running", "limit", "before", "cursor"]
FIELDS += ["after", "caught_up", "lastEventId", "group_by", "from", "to"]
OBJECTS = st.dictionaries(st.sampled_from(FIELDS) | WORDS, VALUES, max_size=4)
QUERIES = st.dictionaries(st.sampled_from(FIELDS), WORDS | st.integers().map(str), max_size=3)


@pytest.fixture(autouse=True)
def mine(transactional_db, monkeypatch):
    monkeypatch.setattr(doorbell, "ring", lambda run_id: None)
    return ChatSession.objects.create(owner_key="open", session_id="mine", model="scripted:demo")


@pytest.fixture(scope="module")
def operations():
    """Each operation that the description names, without those that do not end."""
    described = Client().get("/openapi.json").json()["paths"]
    found = [
        (method.upper(), path)
        for path, methods in described.items()
        for method in methods
        if path not in ANSWERING and not path.endswith("/events")
    ]
    assert len(found) > 10
    return found


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_R_22_no_request_is_a_failure_of_the_server(operations, data):
    method, template = data.draw(st.sampled_from(operations))
    path = "/".join(
        data.draw(IDS) if step.startswith("{") else step for step in template.split("/")
    )
    body = data.draw(OBJECTS | VALUES)
    query = "&".join(
        f"{name}={quote(text, errors='replace')}" for name, text in data.draw(QUERIES).items()
    )
    answer = Client(raise_request_exception=False).generic(
        method, f"{path}?{query}", json.dumps(body), content_type="application/json"
    )
    assert answer.status_code < 500, answer.content
    if answer.status_code >= 400:
        assert set(answer.json()) == {"detail", "code"}
