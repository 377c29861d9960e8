"""The agent's manifest: what it makes of a file, and how it names what is wrong in it."""

import pytest

from project import manifest
from project.manifest import InvalidManifest

WHOLE = """
ossaVersion: 0.4.1
kind: Agent
metadata: {name: my-agent, version: 1.2.3, description: Helps., tags: [a]}
spec:
  role: You are helpful.
  llm: {provider: openai, model: gpt-4o-mini, temperature: 0.2, maxTokens: 500}
  streaming:
    sse: {enabled: true, endpoint: /api/stream}
    websocket: {enabled: true, endpoint: /chat, port: 9000}
    a2a: {enabled: false, mesh_url: "${AGENT_MESH_URL:http://localhost:8080}"}
    callbacks: {on_tool_start: false, on_tool_end: false}
  api:
    port: 8000
    cors: {enabled: true, origins: ["http://localhost:3000"]}
    rate_limit: {enabled: true, requests_per_minute: 60}
"""
LEAST = "metadata: {name: a}\nspec: {role: x}\n"


def parse(text, **environment):
    return manifest.parse(text, environment, name="agent.ossa.yaml")


def test_F24_F25_F26_a_whole_manifest_is_read():
    found = parse(WHOLE)
    assert found.settings() == {
        "llm_provider": "openai",
        "openai_model": "gpt-4o-mini",
        "llm_temperature": 0.2,
        "llm_max_tokens": 500,
        "port": "8000,9000",
        "cors_origins": ["http://localhost:3000"],
        "rate_limit_per_minute": 60,
    }
    streaming = found.spec.streaming
    assert (streaming.sse.endpoint, streaming.websocket.endpoint) == ("/api/stream", "/chat")
    assert not streaming.a2a.enabled
    assert not streaming.callbacks.on_tool_start
    assert found.unknown() == ["metadata.tags"]


def test_the_least_manifest_sets_nothing():
    found = parse(LEAST)
    assert found.settings() == {}
    assert found.spec.streaming.sse.enabled


def test_F27_placeholders_are_replaced_once_and_have_defaults():
    text = LEAST + "api: {cors: {origins: ['${A}', '${B:http://b}']}}"
    assert parse(text, A="http://a").api.cors.origins == ["http://a", "http://b"]
    with pytest.raises(InvalidManifest, match=r"api\.cors\.origins\.0: A is not set"):
        parse(text)
    with pytest.raises(InvalidManifest):
        parse(text, A="${SECRET}", SECRET="http://x")


def test_numbers_may_come_from_the_environment():
    text = LEAST + "api: {port: '${PORT:8000}'}"
    assert parse(text, PORT="9000").api.port == 9000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\t", "agent.ossa.yaml:1: "),
        ("[]", "is no mapping"),
        ("metadata: {name: a}\nspec: {}", "spec.role: Field required"),
        ("spec: {role: x}", "metadata: Field required"),
        ("kind: Pod\n" + LEAST, "kind: "),
        (LEAST.replace("x", "x, llm: {temperature: 9}"), "spec.llm.temperature: "),
        (LEAST.replace("x", "x, streaming: {sse: {enabled: 'no'}}"), "spec.streaming.sse.enabled"),
        (LEAST.replace("x", "x, streaming: {sse: {endpoint: /admin}}"), "is taken"),
        (LEAST.replace("x", "x, streaming: {sse: {endpoint: /chat}}"), "is taken"),
        (LEAST.replace("x", "x, streaming: {sse: {endpoint: chat}}"), "is no path"),
        (LEAST.replace("x", "x, streaming: {sse: {endpoint: /a/../b}}"), "is no path"),
        (LEAST.replace("x", "x, streaming: {websocket: {port: abc}}"), "websocket.port: "),
        (LEAST.replace("x", "x, streaming: {a2a: {mesh_url: 'file:///etc/passwd'}}"), "mesh_url: "),
        ("a: &x [1]\nb: *x\n" + LEAST, "aliases are not allowed"),
        ("a: !!python/object/apply:os.system ['id']\n" + LEAST, "agent.ossa.yaml:1: "),
        ("#" * 2_000_000, "longer than"),
    ],
)
def test_C_1_C_2_C_3_C_5_what_is_wrong_is_named(text, told):
    with pytest.raises(InvalidManifest) as found:
        parse(text)
    assert told in str(found.value)


def test_C_4_a_secret_is_not_shown():
    text = LEAST + "api: {port: '${SECRET_KEY}'}"
    with pytest.raises(InvalidManifest) as found:
        parse(text, SECRET_KEY="hush-hush")
    assert "hush" not in str(found.value)
