"""The agent's manifest, `agent.ossa.yaml`: who it is, and what of it is switched on.

Read once at start. Whatever is wrong is named by the path of its key. `${NAME}` and
`${NAME:default}` are replaced from the environment, once.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AliasChoices, BeforeValidator, Field, ValidationError

from project.manifest_part import Flag, Part
from project.manifest_tools import TYPES, Tools

MAX_CHARACTERS = 1_000_000
PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([^{}]*))?\}")
#: What is at these places stays there.
TAKEN = ["/admin", "/api/sessions", "/api/runs", "/api/models", "/docs", "/openapi.json", "/health"]
TAKEN += ["/static", "/s/", "/ws/", "/metrics", "/agents", "/a2a", "/.well-known"]
TAKEN_HTTP = ["/chat", "/stream", "/invoke", "/invocations", "/ping", "/sessions", "/cost-summary"]
#: The providers whose model is a setting.
MODEL_SETTINGS = ("openai", "anthropic", "gemini", "openrouter")


class InvalidManifest(ValueError):
    """The manifest cannot be used; the message names each key that is wrong."""


def _endpoint(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"(/[A-Za-z0-9_-]+){1,8}", value):
        raise ValueError("is no path: /, letters, digits, _ and - only")
    if any(value == place.rstrip("/") or value.startswith(place) for place in TAKEN):
        raise ValueError("is taken by something else")
    return value


def _http_endpoint(value: Any) -> Any:
    if value in TAKEN_HTTP:
        raise ValueError("is taken by something else")
    return _endpoint(value)


Endpoint = Annotated[str, BeforeValidator(_endpoint)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Metadata(Part):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,80}$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+-]{1,40}$")] = "0.1.0"
    description: Annotated[str, Field(max_length=2000)] = ""


class Llm(Part):
    provider: Annotated[str, Field(pattern=r"^[a-z]{1,40}$")] | None = None
    model: Annotated[str, Field(pattern=r"^\S{1,120}$")] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[
        int | None, Field(ge=1, validation_alias=AliasChoices("max_tokens", "maxTokens"))
    ] = None


class Sse(Part):
    enabled: Flag = True
    endpoint: Annotated[str, BeforeValidator(_http_endpoint)] = "/chat/stream"


class WebSocket(Part):
    enabled: Flag = True
    endpoint: Endpoint | Literal["/ws"] = "/ws"
    port: Port | None = None


class A2a(Part):
    enabled: Flag = False
    mesh_url: Annotated[str, Field(pattern=r"^https?://[^\s@]+$")] = "http://localhost:8080"


class Callbacks(Part):
    on_llm_start: Flag = True
    on_llm_new_token: Flag = True
    on_llm_end: Flag = True
    on_tool_start: Flag = True
    on_tool_end: Flag = True


class Streaming(Part):
    sse: Sse = Sse()
    websocket: WebSocket = WebSocket()
    a2a: A2a = A2a()
    callbacks: Callbacks = Callbacks()


class Cors(Part):
    enabled: Flag = True
    origins: list[Annotated[str, Field(pattern=r"^(\*|https?://[^/\s]+)$")]] = []


class RateLimit(Part):
    enabled: Flag = True
    requests_per_minute: Annotated[int, Field(ge=1)] = 60


class Api(Part):
    port: Port | None = None
    cors: Cors = Cors(enabled=False)
    rate_limit: RateLimit = RateLimit(enabled=False)


class Memory(Part):
    """How much of the conversation the model sees. What is left out limits nothing."""

    type: Literal["buffer", "redis", "postgres", "summary", "entity"] = "buffer"
    enabled: Flag = True
    #: Past exchanges: a question and its answer are one.
    window_size: Annotated[int, Field(ge=1)] | None = None
    max_token_limit: Annotated[int, Field(ge=1)] | None = None
    config: Annotated[dict[str, Any], Field(repr=False)] = {}
    persistence: Annotated[dict[str, Any], Field(repr=False)] = {}

    @property
    def unheeded(self) -> list[str]:
        """The keys that say where or how it is kept: that is always in the database."""
        said = {
            f"type {self.type}": self.type != "buffer",
            "config": self.config,
            "persistence": self.persistence,
        }
        return [key for key, is_said in said.items() if is_said]


class Spec(Part):
    role: Annotated[str, Field(min_length=1, max_length=20_000)]
    llm: Llm = Llm()
    #: Exactly these; None is all of ours.
    tools: Tools | None = None
    memory: Memory = Memory()
    streaming: Streaming = Streaming()
    api: Api | None = None


class Manifest(Part):
    kind: Literal["Agent"] = "Agent"
    metadata: Metadata
    spec: Spec
    #: Some write it here and not below `spec`.
    top_level_api: Api | None = Field(None, validation_alias="api")

    @property
    def api(self) -> Api:
        """How the API is offered."""
        return self.spec.api or self.top_level_api or Api()

    def settings(self) -> dict[str, Any]:
        """The settings that the manifest makes, as the environment names them."""
        llm, websocket, api = self.spec.llm, self.spec.streaming.websocket, self.api
        ports = [str(port) for port in (api.port, websocket.port) if port]
        made = {
            "llm_provider": llm.provider,
            **({f"{llm.provider}_model": llm.model} if llm.provider in MODEL_SETTINGS else {}),
            "llm_temperature": llm.temperature,
            "llm_max_tokens": llm.max_tokens,
            "port": ",".join(dict.fromkeys(ports)) or None,
            "cors_origins": api.cors.origins if api.cors.enabled else None,
            "rate_limit_per_minute": (
                api.rate_limit.requests_per_minute if api.rate_limit.enabled else None
            ),
        }
        return {name: value for name, value in made.items() if value is not None}

    def unknown(self) -> list[str]:
        """The paths of the keys that mean nothing here."""
        return list(_unknown(self, ""))


def read(path: Path, environment: Mapping[str, str]) -> Manifest:
    """Read a manifest. Raises InvalidManifest."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidManifest(f"{path}: cannot be read: {error}") from error
    return parse(text, environment, name=path.name)


def parse(text: str, environment: Mapping[str, str], *, name: str) -> Manifest:
    """Make a manifest of YAML text. Raises InvalidManifest."""
    try:
        value = _load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f":{where.line + 1}" if where else ""
        what = getattr(error, "problem", None) or str(error)
        raise InvalidManifest(f"{name}{line}: {what}") from error
    if not isinstance(value, dict):
        raise InvalidManifest(f"{name}: is no mapping of keys")
    problems: list[str] = []
    expanded = _expand(value, "", environment, problems)
    if not problems:
        try:
            return Manifest.model_validate(expanded)
        except ValidationError as error:
            problems = [_told(wrong["loc"], wrong["msg"]) for wrong in error.errors()]
    raise InvalidManifest("\n".join(f"{name}: {problem}" for problem in problems))


def _load(text: str) -> Any:
    if len(text) > MAX_CHARACTERS:
        raise yaml.YAMLError(f"longer than {MAX_CHARACTERS} characters")
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
        raise yaml.YAMLError("aliases are not allowed")
    return yaml.safe_load(text)


def _told(place: tuple[int | str, ...], message: str) -> str:
    # Not what was found there: it may be a secret.
    keys = [
        str(key)
        for position, key in enumerate(place)
        if not (key in TYPES and position and isinstance(place[position - 1], int))
    ]
    return f"{'.'.join(keys)}: {message.removeprefix('Value error, ')}"


def _expand(value: Any, place: str, environment: Mapping[str, str], problems: list[str]) -> Any:
    if isinstance(value, dict):
        return {
            str(key): _expand(item, f"{place}.{key}".lstrip("."), environment, problems)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            _expand(item, f"{place}.{number}", environment, problems)
            for number, item in enumerate(value)
        ]
    if not isinstance(value, str):
        return value

    def found(match: re.Match[str]) -> str:
        name, default = match.groups()
        if name not in environment and default is None:
            problems.append(f"{place}: {name} is not set, and has no default")
        return environment.get(name, default or "")

    return PLACEHOLDER.sub(found, value)


def _unknown(part: Part, place: str) -> Iterator[str]:
    #: What others read from the same file.
    known = () if place else ("ossaVersion", "apiVersion")
    yield from (f"{place}{key}" for key in part.model_extra or {} if key not in known)
    for key in type(part).model_fields:
        inner = getattr(part, key)
        if isinstance(inner, Part):
            yield from _unknown(inner, f"{place}{key}.")
        elif key == "tools":
            for number, tool in enumerate(inner or ()):
                yield from _unknown(tool, f"{place}{key}.{number}.")
