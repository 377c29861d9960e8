import pytest
from django.conf import settings
from pydantic import SecretStr

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


def test_C_2_F80_an_unknown_provider_is_named_with_those_that_are_known(env):
    env.llm_provider = "nope"
    (found,) = checks.check_provider()
    assert found.id == "chat.E004"
    assert found.msg == "Unsupported LLM provider: nope (supported: openai, anthropic, gemini)"
    assert "openrouter, local, scripted" in found.hint


@pytest.mark.parametrize(
    ("provider", "needs"),
    [
        ("openai", "OPENAI_API_KEY environment variable is required"),
        ("anthropic", "ANTHROPIC_API_KEY environment variable is required"),
        ("gemini", "GEMINI_API_KEY or GOOGLE_API_KEY environment variable is required"),
        ("openrouter", "OPENROUTER_API_KEY environment variable is required"),
    ],
)
def test_C_8_F80_a_provider_that_is_asked_for_needs_its_key(settings, provider, needs):
    settings.ENV = settings.ENV.model_copy(update={"llm_provider": provider})
    (found,) = checks.check_provider()
    assert (found.id, found.msg) == ("chat.E005", needs)
    with_key = {f"{provider}_api_key": SecretStr("sk-x")}
    settings.ENV = settings.ENV.model_copy(update=with_key)
    assert checks.check_provider() == []


def test_a_model_to_fall_back_to_must_be_one_that_can_be_asked(settings):
    wanted = ["scripted:demo", "nobody:x", "openai", "gemini:gemini-pro"]
    settings.ENV = settings.ENV.model_copy(update={"llm_fallback_models": wanted})
    found = checks.check_fallbacks()
    assert [message.id for message in found] == ["chat.E006", "chat.E006", "chat.E005"]
    assert ["'nobody:x'" in found[0].msg, "'openai'" in found[1].msg] == [True, True]


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
