"""Who this agent says it is: as its manifest says, or else the product itself."""

from dataclasses import dataclass

from django.conf import settings

VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent's name, version and description."""

    name: str
    version: str
    description: str


def lacks_tool(name: str) -> bool:
    """Say whether the manifest leaves out a tool that is built in."""
    manifest = settings.ENV.manifest
    listed = manifest.spec.tools if manifest else None
    return listed is not None and name not in {tool.name for tool in listed}


def agent() -> Agent:
    """Who answers here."""
    manifest = settings.ENV.manifest
    if manifest is None:
        return Agent(
            "chatledger",
            VERSION,
            "Streaming LLM agents with conversations that survive anything, and their costs.",
        )
    told = manifest.metadata
    return Agent(told.name, told.version, told.description)
