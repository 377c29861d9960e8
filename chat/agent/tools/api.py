"""A tool that is an HTTP endpoint: the arguments go into its path, its query or its body."""

import asyncio
import json
import logging
import re
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx
from jsonschema import Draft202012Validator, ValidationError
from langchain_core.tools import BaseTool, ToolException
from pydantic import Field, PrivateAttr

logger = logging.getLogger(__name__)

LIMIT_S = 30.0
MAX_BYTES = 100_000
MAX_ERROR_CHARACTERS = 500
ARGUMENT = re.compile(r"\{(\w+)\}")
WITHOUT_BODY = ("GET", "DELETE")


class ApiTool(BaseTool):
    """Calls an endpoint. Whatever goes wrong is a ToolException with a sentence for the model."""

    #: JSON Schema.
    args_schema: dict[str, Any]
    method: str
    #: An address; `{name}` stands for the argument of that name.
    endpoint: str = Field(repr=False)
    headers: dict[str, str] = Field(repr=False)
    limit_s: float = LIMIT_S
    _validator: Draft202012Validator = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        # Models make up arguments; those that nobody expects would be sent with the others.
        self._validator = Draft202012Validator({"additionalProperties": False, **self.args_schema})

    def _run(self, /, **arguments: Any) -> str:
        raise NotImplementedError("endpoints are only called from the event loop")

    async def _arun(self, /, **arguments: Any) -> str:
        self._check(arguments)
        url, rest = _filled(self.endpoint, arguments)
        sent: dict[str, Any] = {"json": rest}
        if self.method in WITHOUT_BODY:
            url, sent = url.copy_merge_params(_query(rest)), {}
        try:
            async with (
                asyncio.timeout(self.limit_s),
                httpx.AsyncClient(verify=_tls(), timeout=self.limit_s) as client,
                client.stream(self.method, url, headers=self.headers, **sent) as response,
            ):
                return _told(response, await _beginning(response))
        except (TimeoutError, httpx.TimeoutException) as error:
            raise ToolException("The service gave no answer in time.") from error
        except httpx.HTTPError as error:
            # Not its text: the address may hold a key.
            logger.warning("Tool %r: %s", self.name, type(error).__name__)
            raise ToolException("The service cannot be reached.") from error

    def _check(self, arguments: dict[str, Any]) -> None:
        wrong: ValidationError | None = next(self._validator.iter_errors(arguments), None)
        if wrong:
            place = ".".join(map(str, wrong.absolute_path))
            told = f"{place}: {wrong.message}" if place else wrong.message
            raise ToolException(f"The arguments are wrong: {told[:MAX_ERROR_CHARACTERS]}")


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    # Reading all certificates takes longer than most calls.
    return httpx.create_ssl_context()


def _filled(endpoint: str, arguments: Mapping[str, Any]) -> tuple[httpx.URL, dict[str, Any]]:
    """Put arguments into an address; gives it with those that are left."""
    rest = dict(arguments)

    def encoded(found: re.Match[str]) -> str:
        name = found[1]
        text = _plain(arguments.get(name))
        if not text:
            raise ToolException(f"The argument {name} is missing.")
        rest.pop(name, None)
        return quote(text, safe="")

    filled = ARGUMENT.sub(encoded, endpoint)
    # They would lead out of the place that is meant.
    if {".", ".."} & set(re.split(r"[/\\]", unquote(urlsplit(filled).path))):
        raise ToolException("An argument may be no step in a path.")
    return httpx.URL(filled), rest


def _query(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [_plain(item) for item in value] if isinstance(value, list) else _plain(value)
        for name, value in arguments.items()
        if value is not None
    }


def _plain(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


async def _beginning(response: httpx.Response) -> str:
    content = b""
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) >= MAX_BYTES:
            break
    return content[:MAX_BYTES].decode(response.encoding or "utf-8", errors="replace")


def _told(response: httpx.Response, text: str) -> str:
    if response.is_success:
        return text or f"The service answered with status {response.status_code}."
    if response.has_redirect_location:
        raise ToolException("The service answered with a redirect, which is not followed.")
    told = text[:MAX_ERROR_CHARACTERS]
    raise ToolException(f"The service answered with status {response.status_code}: {told}")
