"""Who this agent says it is."""

NAME = "chatledger"
VERSION = "0.1.0"
DESCRIPTION = "Streaming LLM agents with conversations that survive anything, and their costs."
