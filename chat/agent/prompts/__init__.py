"""The system prompts, one text file each."""

from pathlib import Path


def read(name: str) -> str:
    """Read the prompt of this name."""
    return (Path(__file__).parent / f"{name}.md").read_text().strip()
