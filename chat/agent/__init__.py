"""The agent: the only folder that knows LangChain. It speaks in the pieces of pieces.py."""
