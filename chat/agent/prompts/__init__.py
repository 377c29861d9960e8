"""The system prompts, one text file each."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Of a history, the newest are told.
NEWEST = 5


def read(name: str) -> str:
    """Read the prompt of this name."""
    return (Path(__file__).parent / f"{name}.md").read_text().strip()


def with_context(prompt: str, context: Mapping[str, Any]) -> str:
    """Add what is known about the user, one line for each thing, as data and not as words."""
    lines = [prompt]
    for name, known in context.items():
        told = known[-NEWEST:] if isinstance(known, list) else known
        if told:
            label = name.replace("_", " ").capitalize()
            lines.append(f"{label}: {json.dumps(told, ensure_ascii=False)}")
    return "\n".join(lines)
