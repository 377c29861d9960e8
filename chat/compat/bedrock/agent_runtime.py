"""The same as `agent_runtime`, by its longer name."""

from agent_runtime import invoke_agent, stream_agent

__all__ = ["invoke_agent", "stream_agent"]
