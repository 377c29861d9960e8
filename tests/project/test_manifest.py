"""The agent's manifest: what it makes of a file, and how it names what is wrong in it."""

import json
from pathlib import Path

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
EXAMPLE = Path(__file__).parents[2] / "examples" / "agent.ossa.yaml"


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
    other = parse(WHOLE.replace("provider: openai", "provider: anthropic"))
    assert other.settings()["anthropic_model"] == "gpt-4o-mini"
    streaming = found.spec.streaming
    assert (streaming.sse.endpoint, streaming.websocket.endpoint) == ("/api/stream", "/chat")
    assert not streaming.a2a.enabled
    assert not streaming.callbacks.on_tool_start
    assert found.unknown() == ["metadata.tags"]


def test_the_example_is_understood_to_its_last_key():
    found = manifest.read(EXAMPLE, {"WEATHER_KEY": "sk-secret"})
    assert found.unknown() == []
    calculator, weather, maps, files = found.spec.tools
    assert (calculator.type, calculator.name) == ("function", "calculator")
    assert weather.config.endpoint == ("http://localhost:9000/v1/forecast/{city}?units=metric")
    assert weather.places == ["city"]
    assert weather.config.headers["Authorization"].get_secret_value() == "Bearer sk-secret"
    assert maps.config.server == "http://localhost:9001/mcp"
    assert files.config.env["LOG_LEVEL"].get_secret_value() == "error"
    assert (found.spec.memory.window_size, found.spec.memory.max_token_limit) == (10, 2000)
    assert found.spec.memory.unheeded == []
    assert "sk-secret" not in repr(found)


def test_tools_may_be_none_and_need_no_schema():
    assert parse(LEAST).spec.tools is None
    assert parse(LEAST.replace("x", "x, tools: []")).spec.tools == []
    api = "{name: a, type: api, config: {endpoint: 'http://h/{b}/{c}?d={b}'}}"
    (tool,) = parse(LEAST.replace("x", f"x, tools: [{api}]")).spec.tools
    assert tool.config.method == "GET"
    assert tool.input_schema == {
        "type": "object",
        "required": ["b", "c"],
        "properties": {"b": {"type": "string"}, "c": {"type": "string"}},
    }


def test_what_a_tool_and_the_memory_do_not_heed_is_named():
    text = "x, tools: [{name: clock, type: function, parameters: {}, config: {function: 'a:b'}}]"
    text += ", memory: {type: redis, config: {session_ttl: 3600}}"
    found = parse(LEAST.replace("x", text))
    assert found.unknown() == ["spec.tools.0.parameters", "spec.tools.0.config"]
    assert found.spec.memory.unheeded == ["type redis", "config"]


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


def tools(text):
    return LEAST.replace("x", f"x, tools: [{text}]")


def api(endpoint, schema=None, **config):
    told = {"name": "t", "type": "api", "config": {"endpoint": endpoint, **config}}
    return tools(json.dumps(told | ({"input_schema": schema} if schema else {})))


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
        (tools("{name: t}"), "spec.tools.0: "),
        (tools("{name: t, type: shell}"), "spec.tools.0: "),
        (tools("{name: os.system, type: function}"), "spec.tools.0.name: "),
        (tools("{name: weather, type: function}"), "is none of the tools here, which are calc"),
        (tools("{name: a b, type: mcp, config: {server: x}}"), "spec.tools.0.name: "),
        (tools("{name: clock, type: function}, {name: clock, type: function}"), "clock twice"),
        (tools(", ".join(["{name: clock, type: function}"] * 500)), "spec.tools: "),
        (tools("{name: t, type: api}"), "spec.tools.0.config: Field required"),
        (api("file:///etc/passwd"), "spec.tools.0.config.endpoint: "),
        (api("gopher://h/"), "spec.tools.0.config.endpoint: "),
        (api("http://user:hush@h/"), "without a user"),
        (api("http://h:99999/"), "has a port that is none"),
        (api("http://{host}/"), "spec.tools.0.config.endpoint: "),
        (api("http://h/{a-b}"), "has braces"),
        (api("http://h/", method="TRACE"), "spec.tools.0.config.method: "),
        (api("http://h/", headers={"A": "b\r\nC: d"}), "headers.A: has characters"),
        (api("http://h/", {"type": "string"}), "input_schema: is no JSON schema of an object"),
        (api("http://h/", {"properties": {"a": {"type": "text"}}}), "properties.a.type is wrong"),
        (api("http://h/", {"properties": {"a": {"$ref": "file:///x"}}}), "another document"),
        (api("http://h/{b}", {"properties": {"a": {}}}), "config.endpoint has {b}, which"),
        (tools("{name: t, type: mcp, config: {server: 'ftp://h/'}}"), "0.config.server: "),
        (tools("{name: t, type: mcp, config: {server: ''}}"), "neither an address nor a command"),
        (LEAST.replace("x", "x, memory: {type: floppy}"), "spec.memory.type: "),
        (LEAST.replace("x", "x, memory: {window_size: 0}"), "spec.memory.window_size: "),
        (LEAST.replace("x", "x, memory: {enabled: maybe}"), "spec.memory.enabled: "),
        ("a: &x [1]\nb: *x\n" + LEAST, "aliases are not allowed"),
        ("a: !!python/object/apply:os.system ['id']\n" + LEAST, "agent.ossa.yaml:1: "),
        ("#" * 2_000_000, "longer than"),
    ],
)
def test_C_1_C_2_C_3_C_5_C_6_what_is_wrong_is_named(text, told):
    with pytest.raises(InvalidManifest) as found:
        parse(text)
    assert told in str(found.value)
    assert "hush" not in str(found.value)


def test_C_4_a_secret_is_not_shown():
    text = LEAST + "api: {port: '${SECRET_KEY}'}"
    with pytest.raises(InvalidManifest) as found:
        parse(text, SECRET_KEY="hush-hush")
    assert "hush" not in str(found.value)
