"""What the scripted provider is asked to do, read from the conversation."""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage

_SCRIPT = re.compile(r"\[\[(.*?)\]\](?!\])", re.DOTALL)
_DIRECTIVE = re.compile(r"(\w+)=(\{.*?\}(?=\s|$)|\"(?:[^\"\\]|\\.)*\"|\S+)", re.DOTALL)
_SUM = re.compile(r"\d[\d\s.,%*/+()^-]*[*/+^-][\d\s.,%*/+()^-]*\d")
_PERCENT = re.compile(r"(\d[\d.,]*)\s*% of (\d[\d.,]*\d|\d)", re.IGNORECASE)
_CHART = re.compile(r"\b(?:chart|draw|plot)\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?:(\w+)\s*[:=]\s*)?(-?\d+(?:\.\d+)?)")
_TIME = re.compile(r"\b(time|date)\b", re.IGNORECASE)
_NAME = re.compile(r"\bmy name is (\w+)", re.IGNORECASE)
_ASKS_NAME = re.compile(r"\b(what(?:'s|’s| is)|know) my name\b", re.IGNORECASE)
_RECOMMEND = re.compile(r"\brecommend\b", re.IGNORECASE)
_PREFERENCES = re.compile(r"^User preferences: (.*)$", re.MULTILINE)
_STORY = re.compile(r"\blong story\b", re.IGNORECASE)
STORY = "Once upon a time a token set out to see the world, and behind it came another one. "
STORY_LINES = 25
_NUMBERS = ("tokens", "delay_ms", "fail_after")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One answer: a tool call or a text, how fast, and where it fails."""

    text: str
    delay_ms: int = 15
    tool: str = ""
    args: str = "{}"
    fail: str = ""
    fail_after: int = 0


def read(messages: Sequence[BaseMessage], *, tools: Collection[str]) -> Script:
    """Make the script for the answer to the last user message."""
    position = max(i for i, m in enumerate(messages) if m.type == "human")
    results = [m for m in messages[position:] if isinstance(m, ToolMessage)]
    said = str(messages[position].text)
    found = _SCRIPT.search(said)
    wanted = dict(_directives(found.group(1))) if found else {}
    said = _SCRIPT.sub("", said).strip()
    if results:
        wanted.pop("tool", None)
        wanted.setdefault("text", f"The answer is {results[-1].text}.")
    elif not found:
        wanted = _tool_for(said)
        if wanted.get("tool") not in tools:
            wanted = _talk(said, messages[:position])
        if _RECOMMEND.search(said):
            wanted = _recommendation(messages)
    if "tokens" in wanted:
        wanted["text"] = "".join(f"w{i} " for i in range(wanted["tokens"]))
    wanted.setdefault("text", _reply(said))
    known = {field.name for field in fields(Script)}
    return Script(**{name: value for name, value in wanted.items() if name in known})


def pieces(text: str) -> list[str]:
    """Cut a text into its tokens: words with the space after them."""
    return re.findall(r"\S+\s*|\s+", text)


def _directives(text: str) -> Iterator[tuple[str, Any]]:
    for name, value in _DIRECTIVE.findall(text):
        if value.startswith('"'):
            yield name, json.loads(value)
        elif name in _NUMBERS:
            yield name, int(value) if value.isdecimal() else 0
        else:
            yield name, value


def _tool_for(said: str) -> dict[str, Any]:
    if _CHART.search(said) and (numbers := _NUMBER.findall(said)):
        values = {label or f"{i}": float(number) for i, (label, number) in enumerate(numbers, 1)}
        return {"tool": "chart", "args": json.dumps({"title": "Your numbers", "values": values})}
    if found := _PERCENT.search(said):
        share, whole = (number.replace(",", "") for number in found.groups())
        return {
            "tool": "calculator",
            "args": json.dumps({"expression": f"{share} / 100 * {whole}"}),
        }
    if found := _SUM.search(said):
        expression = found.group(0).replace(",", "").replace("%", "/100")
        return {"tool": "calculator", "args": json.dumps({"expression": expression})}
    if _TIME.search(said):
        return {"tool": "clock"}
    return {}


def _talk(said: str, earlier: Sequence[BaseMessage]) -> dict[str, Any]:
    """Answer what shows that a conversation is remembered, or takes its time."""
    if _ASKS_NAME.search(said):
        told = (_NAME.search(str(m.text)) for m in reversed(earlier) if m.type == "human")
        name = next((found.group(1) for found in told if found), "")
        return {"text": f"Your name is {name}." if name else "You have not told me your name."}
    if found := _NAME.search(said):
        return {"text": f"Nice to meet you, {found.group(1)}!"}
    if _STORY.search(said):
        return {"text": STORY * STORY_LINES, "delay_ms": 40}
    return {}


def _recommendation(messages: Sequence[BaseMessage]) -> dict[str, Any]:
    prompts = [str(message.text) for message in messages if message.type == "system"]
    known = _PREFERENCES.search("\n".join(prompts))
    return {"text": f"Something for {known.group(1)}." if known else "I do not know what you like."}


def _reply(said: str) -> str:
    quoted = said if len(said) <= 200 else said[:200] + "…"
    return (
        f"You said: “{quoted}”\n\n"
        "I am the **scripted** provider: I show how an answer streams, what it costs and how it "
        "can be stopped, without any model behind me. Ask me to calculate `6 * 7` or for the "
        "time to see a tool at work, or to draw a chart of `3, 5, 8`."
    )
