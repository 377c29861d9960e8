import pytest
from pydantic import ValidationError

from project import env
from project.env import Environment


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch):
    for name in ("DEBUG", "AUTH", "HOST", "PORT", "DATABASE_URL", "SECRET_KEY", "DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("debug", "host", "given", "expected"),
    [
        ("1", "127.0.0.1", "", "open"),
        ("1", "localhost", "", "open"),
        ("1", "::1", "", "open"),
        ("0", "127.0.0.1", "", "required"),
        ("1", "0.0.0.0", "", "required"),
        ("1", "127.0.0.1", "required", "required"),
    ],
)
def test_only_a_developer_s_own_machine_is_open(monkeypatch, debug, host, given, expected):
    monkeypatch.setenv("DEBUG", debug)
    monkeypatch.setenv("HOST", host)
    monkeypatch.setenv("AUTH", given)
    assert Environment().auth == expected


def test_the_port_may_be_a_list(monkeypatch):
    monkeypatch.setenv("PORT", "8000,8080")
    assert Environment().ports == [8000, 8080]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "abc"),
        ("LLM_TEMPERATURE", "9"),
        ("WORKER_PROCESSES", "0"),
        ("AUTH", "maybe"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_C_2_a_wrong_value_is_refused_by_its_name(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=f"(?i){name}"):
        Environment()


def test_redis_is_embedded_unless_one_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert Environment().redis_url == f"unix://{tmp_path}/valkey.sock"
    monkeypatch.setenv("REDIS_HOST", "cache")
    assert Environment().redis_url == "redis://cache:6379/0"
    monkeypatch.setenv("REDIS_URL", "redis://other:1/2")
    assert Environment().redis_url == "redis://other:1/2"


def test_a_long_data_directory_still_has_a_short_socket(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_DIR", str(tmp_path / ("x" * 120)))
    assert len(str(Environment().embedded_redis_socket)) < 100


def test_the_secret_key_is_made_once_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    key = Environment().read_secret_key()
    assert len(key) > 50
    assert Environment().read_secret_key() == key
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


def test_C_4_C_8_a_key_is_not_shown(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "very-secret")
    assert "very-secret" not in repr(Environment())


def test_F80_the_defaults_are_those_of_the_documents():
    env = Environment()
    models = (env.openai_model, env.anthropic_model, env.gemini_model)
    assert models == ("gpt-3.5-turbo", "claude-3-sonnet-20240229", "gemini-pro")
    limits = (env.llm_temperature, env.llm_max_tokens, env.llm_timeout_s, env.llm_max_retries)
    assert limits == (0.7, 2048, 30, 3)


def test_F80_a_provider_is_named_in_any_case_and_gemini_s_key_has_two_names(monkeypatch):
    monkeypatch.setenv("LLM_PROVIDER", "Gemini")
    monkeypatch.setenv("GEMINI_API_KEY", "")
    monkeypatch.setenv("GOOGLE_API_KEY", "second")
    env = Environment()
    assert (env.llm_provider, env.gemini_api_key.get_secret_value()) == ("gemini", "second")
    monkeypatch.setenv("GEMINI_API_KEY", "first")
    assert Environment().gemini_api_key.get_secret_value() == "first"


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_C_8_the_password_in_an_address_is_not_shown(monkeypatch, name):
    monkeypatch.setenv(name, "redis://user:very-secret@host/1")
    assert "very-secret" not in repr(Environment())
    assert "very-secret" not in str(Environment())


def test_C_4_C_8_a_secret_that_is_refused_is_not_repeated(monkeypatch):
    monkeypatch.setenv("PORT", "abc")
    monkeypatch.setenv("SECRET_KEY", "very-secret")
    monkeypatch.setenv("OPENAI_API_KEY", "very-secret")
    env.read.cache_clear()
    with pytest.raises(SystemExit) as refused:
        env.read()
    assert "PORT='abc'" in str(refused.value)
    assert "very-secret" not in str(refused.value)
