"""All providers through LangChain's own classes: answers, bills, faults, and who stands in."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.fakes.provider import FakeProvider, RequestRecord
from tests.fakes.wire import CANARY
from tests.process import providers
from tests.process.client import Client, Json
from tests.process.conftest import KEY
from tests.process.product import ROOT, Product, wait_for
from tests.process.providers import MODELS

pytestmark = pytest.mark.process

#: Asked when one of the others cannot answer.
STAND_IN = "gemini:gemini-2.5-pro"


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider.in_thread() as fake:
        yield fake


@pytest.fixture(scope="module")
def product(provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The product with the keys of all providers."""
    settings = {
        **providers.settings(provider.root_url, key=KEY),
        "LLM_PROVIDER": "Anthropic",
        "LLM_TEMPERATURE": "0.3",
        "LLM_MAX_TOKENS": "77",
        "LLM_TIMEOUT_S": "2",
        "LLM_MAX_RETRIES": "0",
        "LLM_FALLBACK_MODELS": STAND_IN,
    }
    with Product(tmp_path_factory.mktemp("providers") / "data", **settings) as started:
        yield started


@pytest.fixture(scope="module")
def client(product: Product) -> Iterator[Client]:
    made = Client(product)
    # A worker loads the clients of all providers before it begins.
    made.ask("Are you there?", timeout_s=120)
    yield made
    made.close()


def ask_all(client: Client, directives: str, models: tuple[str, ...] = MODELS) -> dict[str, Json]:
    """Ask all models at once; gives the runs by their models."""
    text = f"Tell me something [[fake {directives}]]"
    sent = {model: client.send(client.new_session(), text, model=model) for model in models}
    return {model: client.ended(run_id) for model, run_id in sent.items()}


def record_of(provider: FakeProvider, run: Json) -> RequestRecord:
    """The newest request of a run, found by its model."""
    name = run["model"].partition(":")[2]
    return next(record for record in reversed(provider.requests) if record.model == name)


@pytest.mark.parametrize(
    "asked",
    [
        "tokens=20",
        "tokens=20 cached=3 reasoning=30",
        "tokens=9 cached=2 cache_write_5m=7 cache_write_1h=6",
        "tokens=9 audio=3",
        "tokens=9 continuous=1",
        "tokens=9 finish=length",
        "tokens=9 surrogates=1",
    ],
)
def test_what_a_provider_bills_is_what_is_charged(
    client: Client, provider: FakeProvider, asked: str
) -> None:
    for model, run in ask_all(client, asked).items():
        record, (call,) = record_of(provider, run), run["calls"]
        assert (run["status"], call["status"]) == ("finished", "complete"), model
        assert (call["usage_source"], call["flags"]) == ("provider", []), model
        assert call["usage"]["by_class"] == record.billed, model
        assert client.answer_of(run) == record.text_sent, model


@pytest.mark.parametrize("asked", ["nousage=1", "zerousage=1"])
def test_usage_that_a_provider_does_not_tell_is_estimated(
    client: Client, provider: FakeProvider, asked: str
) -> None:
    for model, run in ask_all(client, f"text=estimated cut=1 {asked}").items():
        record, (call,) = record_of(provider, run), run["calls"]
        assert (run["status"], run["estimated"]) == ("finished", True), model
        assert (call["status"], call["usage_source"]) == ("complete", "estimated"), model
        assert call["usage"]["completion_tokens"] == record.tokens_sent, model
        assert call["usage"]["prompt_tokens"] > 0, model


def test_a_search_of_the_provider_s_own_is_a_fee(client: Client, provider: FakeProvider) -> None:
    models = ("openai:o3-pro", "anthropic:claude-opus-5", "gemini:gemini-3-pro-preview")
    for model, run in ask_all(client, "tokens=9 web_searches=2", models).items():
        (call,) = run["calls"]
        assert call["usage"]["by_class"] == record_of(provider, run).billed, model
        assert call["usage"]["by_class"]["web_search"] == 2, model
        assert call["usage"]["total_tokens"] == sum(
            n for name, n in call["usage"]["by_class"].items() if name != "web_search"
        )


@pytest.mark.parametrize(
    ("fault", "code", "calls"),
    [
        ("fault=401", "authentication", ["failed"]),
        ("fault=400", "invalid_request", ["failed"]),
        # The model that stands in is asked too.
        ("fault=429", "rate_limited", ["failed"] * 2),
        ("fault=529", "unavailable", ["failed"] * 2),
        # Nothing is wrong with a provider that refuses; it is not left alone.
        ("finish=blocked", "refused", ["failed"]),
        ("hang", "timeout", ["failed"] * 2),
        ("bad@3", "protocol", ["failed"]),
        ("err@3", "interrupted", ["failed"]),
        ("cut@3", "interrupted", ["failed"]),
        ("rst@3", "interrupted", ["failed"]),
        ("eof@3", "truncated", ["truncated"]),
        ("stall@3", "timeout", ["failed"]),
    ],
)
def test_what_goes_wrong_has_one_name_with_all_providers(
    client: Client, provider: FakeProvider, fault: str, code: str, calls: list[str]
) -> None:
    for model, run in ask_all(client, f"tokens=9 {fault}").items():
        assert (run["status"], run["error"]["code"]) == ("failed", code), model
        assert [call["status"] for call in run["calls"]] == calls, model
        assert {call["model"] for call in run["calls"][1:]} <= {STAND_IN.partition(":")[2]}, model
        charged, billed = run["calls"][-1]["usage"]["by_class"], record_of(provider, run).billed
        assert charged.keys() == billed.keys(), model
        if model.startswith(("anthropic", "gemini")):
            # They say at the start what the prompt was, however the answer ends.
            assert charged.get("input") == billed.get("input"), model


def test_no_provider_s_error_tells_a_secret(client: Client, product: Product) -> None:
    runs = ask_all(client, "tokens=9 fault=401")
    told = json.dumps([[run, client.events_of(run)] for run in runs.values()])
    stored = b"".join(path.read_bytes() for path in product.data_dir.glob("chatledger.sqlite3*"))
    seen = told + product.output + product.log + stored.decode(errors="replace")
    for secret in (KEY, CANARY, "x-goog-api-key", "x-api-key"):
        assert secret not in seen


@pytest.mark.parametrize("fault", ["fault=429", "fault=529", "rst@0", "stall@0"])
def test_another_model_stands_in_before_the_first_token(
    client: Client, provider: FakeProvider, fault: str
) -> None:
    before = len(provider.requests)
    text = f"Stand in for {fault} [[fake tokens=6 {fault} fault_times=1]]"
    run = client.ended(client.send(client.new_session(), text, model=MODELS[0]))
    assert run["status"] == "finished"
    assert len(provider.requests) - before == len(run["calls"]) == 2
    told = [(call["provider"], call["status"]) for call in run["calls"]]
    assert told == [("openai", "failed"), ("gemini", "complete")]
    failed, good = run["calls"]
    # Whoever had begun to answer has read the prompt.
    has_begun = fault.endswith("@0")
    assert (failed["usage"]["total_tokens"] > 0) == run["estimated"] == has_begun
    # Gemini 2.5 Pro in USD per million tokens: https://ai.google.dev/pricing (read 2026-11).
    prompt, said = (good["usage"][name] for name in ("prompt_tokens", "completion_tokens"))
    due = (prompt * Decimal("1.25") + said * Decimal(10)) / 10**6
    assert Decimal(run["cost"]) > due if has_begun else Decimal(run["cost"]) == due
    assert client.answer_of(run) == provider.requests[-1].text_sent


def test_no_other_model_goes_on_with_what_has_begun(client: Client, provider: FakeProvider) -> None:
    before = len(provider.requests)
    text = "[[fake tokens=6 rst@2 fault_times=1]]"
    run = client.ended(client.send(client.new_session(), text, model=MODELS[2]))
    assert (run["status"], run["error"]["code"]) == ("failed", "interrupted")
    assert len(provider.requests) - before == len(run["calls"]) == 1


def test_F86_temperature_and_limit_reach_every_provider(
    client: Client, provider: FakeProvider
) -> None:
    asked = {
        model: record_of(provider, run).request
        for model, run in ask_all(client, "tokens=1").items()
    }
    chat, responses, messages, content, router = asked.values()
    assert (chat["temperature"], chat["max_completion_tokens"]) == (0.3, 77)
    # This model has a temperature of its own and takes no other.
    assert ("temperature" in responses, responses["max_output_tokens"]) == (False, 77)
    assert (messages["temperature"], messages["max_tokens"]) == (0.3, 77)
    config = content["generationConfig"]
    assert (config["temperature"], config["maxOutputTokens"]) == (0.3, 77)
    assert (router["temperature"], router["max_completion_tokens"]) == (0.3, 77)
    assert router["usage"] == {"include": True}


def test_F80_what_has_a_key_is_offered_and_the_wanted_one_is_first(client: Client) -> None:
    offered = [offer["model"] for offer in client.get("/api/models")["items"]]
    assert offered[0] == "anthropic:claude-3-sonnet-20240229"
    assert set(offered) >= {
        "openai:gpt-3.5-turbo",
        "gemini:gemini-pro",
        "openrouter:openrouter/auto",
        "scripted:demo",
    }


def test_F80_a_provider_uses_tools_and_is_told_what_they_gave(
    client: Client, provider: FakeProvider
) -> None:
    directives = 'tool=calculator args={"expression":"6*7"} tokens=3'
    for model, run in ask_all(client, directives).items():
        assert run["status"] == "finished", model
        assert [call["status"] for call in run["calls"]] == ["complete"] * 2, model
        told = [e["content"] for e in client.events_of(run) if e["type"] == "tool.result"]
        assert told == ["42"], model
        assert "42" in json.dumps(record_of(provider, run).request), model


def test_a_cost_that_the_provider_states_is_what_is_charged(client: Client) -> None:
    usage = '{"prompt_tokens":1200,"completion_tokens":60,"total_tokens":1260,"cost":0.00045}'
    (run,) = ask_all(client, f"tokens=3 usage={usage}", MODELS[-1:]).values()
    assert (run["cost"], run["estimated"]) == ("0.00045", False)
    assert run["usage"]["by_class"] == {"input": 1200, "output": 60}


def asked_directly(product: Product, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that other programs import to ask a provider."""
    monkeypatch.syspath_prepend(str(ROOT / "chat" / "compat"))
    monkeypatch.setenv("CHATLEDGER_URL", product.url)
    return importlib.import_module("llm")


def test_F86_F89_a_provider_answers_whole_and_as_it_is_wished(
    product: Product, client: Client, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = asked_directly(product, monkeypatch)
    before = client.get("/api/sessions")["items"]
    for model in MODELS[2:4]:
        messages = [llm.Message("Be brief.", "system"), llm.Message("Hi [[fake tokens=3]]")]
        request = llm.CompletionRequest(messages, temperature=0.9, max_tokens=50)
        response = llm.Provider(model).complete(request)
        sent = provider.requests[-1]
        assert (response.content, response.model) == (sent.text_sent, model)
        assert response.usage["by_class"] == sent.billed
        assert "Be brief." in sent.user_text
        config = sent.request.get("generationConfig", sent.request)
        limit = config.get("maxOutputTokens", config.get("max_tokens"))
        assert (config["temperature"], limit) == (0.9, 50)
    more = llm.CompletionRequest([llm.Message("[[fake tokens=3]]")], max_tokens=9_000)
    llm.Provider(MODELS[2]).complete(more)
    assert provider.requests[-1].request["max_tokens"] == 77, "the operator's limit holds"
    assert client.get("/api/sessions")["items"] == before


async def test_F89_an_error_of_the_reader_stops_the_answer(
    product: Product, client: Client, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = asked_directly(product, monkeypatch)
    heard: list[str] = []

    async def take_three(chunk: str) -> None:
        heard.append(chunk)
        if len(heard) == 3:
            raise KeyError("enough")

    request = llm.CompletionRequest([llm.Message("[[fake tokens=5000 gap_ms=20]]")])
    with pytest.raises(KeyError, match="enough"):
        await llm.Provider(MODELS[2]).stream(request, take_three)
    record = provider.requests[-1]
    assert len(heard) == 3
    assert record.text_sent.startswith("".join(heard))
    wait_for(lambda: record.outcome == "client_closed", timeout_s=5)
    broken = llm.CompletionRequest([llm.Message("[[fake tokens=9 eof@3]]")])
    heard.append("another")
    with pytest.raises(RuntimeError, match="in the middle"):
        await llm.Provider(MODELS[2]).stream(broken, heard.append)
    assert llm.Provider.supports_streaming


def test_the_whole_ledger_is_proven(product: Product) -> None:
    """The last one: after all that the others had go wrong."""
    command = [sys.executable, "manage.py", "audit"]
    told = subprocess.run(
        command,
        cwd=ROOT,
        env=product.whole_environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (told.returncode, told.stdout.strip().splitlines()[-1]) == (0, "ok"), told.stdout
