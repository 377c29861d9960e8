import pytest
from django.conf import settings

from chat import checks
from project import manifest


class Env:
    auth = "required"
    debug = False
    host = "0.0.0.0"
    is_loopback = False
    allowed_hosts = ("chat.example",)
    llm_provider = ""
    cors_origins = ()


@pytest.fixture
def env(settings):
    settings.ENV = Env()
    return settings.ENV


def test_a_server_that_asks_who_is_there_is_fine(env):
    assert checks.check_access() == []


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("auth", "open", "chat.E001"),
        ("debug", True, "chat.E002"),
        ("allowed_hosts", (), "chat.E003"),
        ("allowed_hosts", ("chat.example", "*"), "chat.E003"),
    ],
)
def test_C_8_what_would_expose_everything_is_refused(env, name, value, code):
    setattr(env, name, value)
    found = checks.check_access()
    assert [message.id for message in found] == [code]
    assert found[0].hint


def test_C_2_an_unknown_provider_is_named_with_those_that_are_known(env):
    env.llm_provider = "nope"
    assert checks.check_provider()[0].id == "chat.E004"


def test_C_8_a_provider_without_its_key_is_a_warning(settings):
    settings.ENV.llm_provider = "openai"
    try:
        assert checks.check_provider()[0].id == "chat.W001"
    finally:
        settings.ENV.llm_provider = "scripted"


def test_a_server_that_is_open_to_all_pages_is_warned_of(env):
    env.is_loopback, env.auth = True, "open"
    assert checks.check_access() == []
    env.cors_origins = ("*",)
    assert [found.id for found in checks.check_access()] == ["chat.W003"]


def test_what_a_manifest_says_in_vain_is_a_warning(monkeypatch):
    text = "metadata: {name: a, team: b}\nspec: {role: x, memory: {type: summary}}"
    made = manifest.parse(text, {}, name="agent.ossa.yaml")
    monkeypatch.setattr(settings.ENV, "manifest", made)
    unknown, unheeded = checks.check_manifest()
    assert (unknown.id, unheeded.id) == ("chat.W002", "chat.W004")
    assert "metadata.team" in unknown.msg
    assert "spec.memory (type summary)" in unheeded.msg
