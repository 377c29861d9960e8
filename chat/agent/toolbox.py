"""Which tools the agent has: those that its manifest lists, or else all of ours."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.conf import settings
from langchain_core.tools import BaseTool
from pydantic import SecretStr

from chat.agent.tools import TOOLS

if TYPE_CHECKING:
    from chat.agent.tools.mcp import Server


async def tools() -> list[BaseTool]:
    """The tools that can be called now; of two with one name the first one counts.

    Those of servers that are away are missing.
    """
    found = known_tools()
    for more in await asyncio.gather(*(server.tools() for server in servers())):
        found += more
    first: dict[str, BaseTool] = {}
    for tool in found:
        first.setdefault(tool.name, tool)
    return list(first.values())


def known_tools() -> list[BaseTool]:
    """The tools that are known without asking a server."""
    manifest = settings.ENV.manifest
    if manifest is None or manifest.spec.tools is None:
        return list(TOOLS.values())
    found: list[BaseTool] = []
    for wanted in manifest.spec.tools:
        if wanted.type == "function":
            tool = TOOLS[wanted.name]
            told = wanted.description or tool.description
            found.append(tool.model_copy(update={"description": told}))
        elif wanted.type == "api":
            # Only here: most agents have none.
            from chat.agent.tools.api import ApiTool

            found.append(
                ApiTool(
                    name=wanted.name,
                    description=wanted.description or wanted.name,
                    args_schema=wanted.input_schema,
                    method=wanted.config.method,
                    endpoint=wanted.config.endpoint,
                    headers=dict(_shown(wanted.config.headers)),
                )
            )
    return found


def servers() -> list["Server"]:
    """The servers that have more."""
    manifest = settings.ENV.manifest
    found = []
    for wanted in (manifest and manifest.spec.tools) or ():
        if wanted.type == "mcp":
            # Only here: it takes a second to load.
            from chat.agent.tools import mcp

            config = wanted.config
            headers, environment = _shown(config.headers), _shown(config.env)
            found.append(mcp.at(wanted.name, config.server, headers, environment))
    return found


def _shown(secrets: Mapping[str, SecretStr]) -> tuple[tuple[str, str], ...]:
    return tuple((name, secret.get_secret_value()) for name, secret in secrets.items())
