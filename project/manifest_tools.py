"""The tools that a manifest lists: our own, HTTP endpoints, and servers of the MCP."""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from project.manifest_part import Part

MAX_TOOLS = 64
ADDRESS = re.compile(r"https?://[^\s/?#@{}\\]+(?P<rest>[/?][^\s#\\]*)?")
#: Where an argument goes into an address.
ARGUMENT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _built_in(name: str) -> str:
    # Only here, because LangChain takes its time to load.
    from chat.agent.tools import TOOLS

    if name not in TOOLS:
        raise ValueError(f"is none of the tools here, which are {', '.join(TOOLS)}")
    return name


def _address(value: str) -> str:
    found = ADDRESS.fullmatch(value)
    if not found:
        raise ValueError("is no http or https address without a user and a fragment")
    try:
        _ = urlsplit(value).port
    except ValueError:
        raise ValueError("has a port that is none") from None
    if re.search(r"[{}]", ARGUMENT.sub("", found["rest"] or "")):
        raise ValueError("has braces that hold no name of an argument")
    return value


def _server(value: str) -> str:
    if "://" in value:
        if ARGUMENT.search(value):
            raise ValueError("has braces")
        return _address(value)
    try:
        words = shlex.split(value)
    except ValueError:
        words = []
    if not words:
        raise ValueError("is neither an address nor a command")
    return value


def _json_schema(value: Any) -> Any:
    # Only here, because few manifests have one.
    from jsonschema import Draft202012Validator, SchemaError

    if not isinstance(value, dict) or value.get("type", "object") != "object":
        raise ValueError("is no JSON schema of an object")
    try:
        Draft202012Validator.check_schema(value)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path))
        raise ValueError(f"is no JSON schema: {place or 'all of it'} is wrong") from None
    if not all(isinstance(ref, str) and ref.startswith("#") for ref in _references(value)):
        raise ValueError("refers to another document")
    return value


def _references(value: Any) -> Iterator[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict):
        yield from (value[key] for key in ("$ref", "$dynamicRef") if key in value)
    for item in inner:
        yield from _references(item)


def _header(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x20-\x7e]*", value.get_secret_value()):
        raise ValueError("has characters that no header may have")
    return value


JsonSchema = Annotated[dict[str, Any], BeforeValidator(_json_schema)]
Headers = dict[
    Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,80}$")],
    Annotated[SecretStr, AfterValidator(_header)],
]
Method = Annotated[
    Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
    BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
]


class _Tool(Part):
    #: What models are told; providers take no other names.
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: Annotated[str, Field(max_length=2000)] = ""


class FunctionTool(_Tool):
    """A tool of our own, by its name. Nothing is imported by what a manifest says."""

    type: Literal["function"]
    name: Annotated[str, AfterValidator(_built_in)]


class ApiConfig(Part):
    endpoint: Annotated[str, AfterValidator(_address), Field(repr=False)]
    method: Method = "GET"
    headers: Headers = {}


class ApiTool(_Tool):
    """An HTTP endpoint, which is called with the arguments."""

    type: Literal["api"]
    given_schema: JsonSchema | None = Field(
        None, validation_alias=AliasChoices("input_schema", "parameters", "inputSchema")
    )
    config: ApiConfig

    @model_validator(mode="after")
    def _knows_its_arguments(self) -> "ApiTool":
        unknown = set(self.places) - set(self.input_schema.get("properties", {}))
        if unknown:
            named = ", ".join(f"{{{name}}}" for name in sorted(unknown))
            raise ValueError(f"config.endpoint has {named}, which input_schema does not")
        return self

    @property
    def places(self) -> list[str]:
        """The arguments that are a part of the address."""
        return list(dict.fromkeys(ARGUMENT.findall(self.config.endpoint)))

    @property
    def input_schema(self) -> dict[str, Any]:
        """The schema of the arguments; without one, those of the address are strings."""
        if self.given_schema is None:
            schema = {"properties": {name: {"type": "string"} for name in self.places}}
            return {"type": "object", "required": self.places, **schema}
        return {"type": "object", "properties": {}, **self.given_schema}


class McpConfig(Part):
    #: An address, or the command that starts it.
    server: Annotated[str, AfterValidator(_server), Field(repr=False)]
    headers: Headers = {}
    #: What the command sees of the environment, beside PATH and the like.
    env: dict[str, SecretStr] = {}


class McpTool(_Tool):
    """A server of the Model Context Protocol: all of its tools."""

    type: Literal["mcp"]
    config: McpConfig


Tool = Annotated[FunctionTool | ApiTool | McpTool, Field(discriminator="type")]
TYPES = ("function", "api", "mcp")


def _different(tools: Sequence[_Tool]) -> Sequence[_Tool]:
    names = [tool.name for tool in tools]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"has the name {twice[0]} twice")
    return tools


Tools = Annotated[list[Tool], Field(max_length=MAX_TOOLS), AfterValidator(_different)]
