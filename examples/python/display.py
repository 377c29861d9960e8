"""What the viewer shows of events: live Markdown on a terminal, plain text elsewhere."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console, ConsoleOptions, Group
from rich.live import Live
from rich.markdown import Markdown
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.text import Text

from chatledger_client import TERMINAL, Event

#: What would steer the terminal instead of being shown on it.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
#: Lines that the bar and the cursor take below the answer.
_LINES_BELOW = 3
_DOING = {
    "run.started": "thinking",
    "attempt.started": "beginning anew",
    "text.delta": "answering",
    "tool_call.started": "calling {name}",
    "tool.progress": "{text}",
    "progress": "{message}",
}
_ENDS = {
    "run.finished": "finished",
    "run.failed": "failed ({code}): {message}",
    "run.cancelled": "stopped",
}


@dataclass
class Answer:
    """What the events of one run have said so far."""

    text: str = ""
    tokens: int = 0
    cost: str | None = None
    is_estimated: bool = True
    doing: str = "waiting"
    step: int = 0
    steps: int | None = None
    #: How the run ended; empty while it has not.
    end: str = ""
    _parts: dict[int, str] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        kind = event["type"]
        if kind in _DOING:
            self.doing = _DOING[kind].format_map(event)
        if kind in _ENDS:
            self.end = _ENDS[kind].format_map(event)
        if kind == "attempt.started":
            self._parts.clear()
        if kind == "text.delta":
            self._parts[event["part"]] = self._parts.get(event["part"], "") + event["delta"]
        if kind == "progress":
            self.step, self.steps = event["step"], event["total"]
        if kind == "cost.updated":
            self.cost, self.is_estimated = event["total"], event["estimated"]
            self.tokens = event["completion_tokens"]
        elif event.get("tokens"):
            self.tokens, self.cost = event["tokens"], event["cost"] or self.cost
        self.text = "\n\n".join(self._parts.values())

    @property
    def bill(self) -> str:
        """Tokens and cost; an estimate is marked, and an unknown price is called unknown."""
        mark = "≈ " if self.is_estimated else ""
        price = "price unknown" if self.cost is None else f"{mark}${self.cost}"
        return f"{self.tokens} tokens · {price}"


class Display(Protocol):
    """Shows events; what is about the viewer itself goes to stderr."""

    def show(self, event: Event) -> None: ...

    def note(self, text: str) -> None: ...

    def notice_connection(self, is_open: bool) -> None: ...

    def close(self) -> None: ...


class PlainDisplay:
    """Text as it comes, for pipes and files: answers on stdout, the rest on stderr."""

    def __init__(self) -> None:
        self._answer = Answer()
        self._is_lost = False

    def show(self, event: Event) -> None:
        if event["type"] == "attempt.started":
            self.note("\n[the answer begins anew]")
        before = self._answer.text
        self._answer.take(event)
        if self._answer.text.startswith(before):
            self._write(self._answer.text[len(before) :])
        for said in user_texts(event):
            self._write(f"> {said}\n")
        if event["type"] in TERMINAL:
            self._write("\n")
            self.note(f"[{self._answer.end} · {self._answer.bill}]")
            self._answer = Answer()

    def note(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def notice_connection(self, is_open: bool) -> None:
        if is_open == self._is_lost:
            self.note("[connected again]" if is_open else "[connection lost, trying again]")
        self._is_lost = not is_open

    def close(self) -> None: ...

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


class LiveDisplay:
    """The answer as Markdown while it grows, above a bar with its tokens and its cost."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._answer = Answer()
        self._is_lost = False
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[bill]}", markup=False),
            TimeElapsedColumn(),
        )
        self._task = self._progress.add_task("", total=None, bill="")
        self._live: Live | None = None

    def show(self, event: Event) -> None:
        for said in user_texts(event):
            self._console.print(Text(f"> {_printable(said)}", style="bold cyan"))
        if "run_id" not in event or (event["type"].startswith("message.") and not self._live):
            return
        self._answer.take(event)
        if event["type"] in TERMINAL:
            self._end()
        else:
            self._paint()

    def note(self, text: str) -> None:
        self._console.print(Text(_printable(text), style="yellow"))

    def notice_connection(self, is_open: bool) -> None:
        self._is_lost = not is_open
        if self._live:
            self._paint()
        elif self._is_lost:
            self.note("Connection lost, trying again")

    def close(self) -> None:
        """Leave the terminal in order, whatever was being shown."""
        if self._live:
            self._live.stop()
            self._live = None

    def _paint(self) -> None:
        if self._live is None:
            self._progress.reset(self._task)
            self._live = Live(console=self._console, transient=True, refresh_per_second=12)
            self._live.start()
        doing = "connection lost, trying again" if self._is_lost else self._answer.doing
        self._progress.update(
            self._task,
            description=_printable(doing),
            bill=self._answer.bill,
            completed=self._answer.step,
            total=self._answer.steps,
        )
        self._live.update(Group(_Tail(_printable(self._answer.text)), self._progress))

    def _end(self) -> None:
        self.close()
        self._console.print(Markdown(_printable(self._answer.text)))
        style = "dim" if self._answer.end == "finished" else "yellow"
        end = f"{self._answer.end} · {self._answer.bill}"
        self._console.print(Text(_printable(end), style=style))
        self._answer = Answer()


@dataclass
class _Tail:
    """The last lines of a Markdown text, as many as there is room for."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        room = max(console.height - _LINES_BELOW, 1)
        for line in console.render_lines(Markdown(self.text), options)[-room:]:
            yield from line
            yield Segment.line()


def display() -> Display:
    """The display for where stdout goes."""
    console = Console()
    is_live = console.is_terminal and not console.is_dumb_terminal
    return LiveDisplay(console) if is_live else PlainDisplay()


def user_texts(event: Event) -> list[str]:
    """What users say in an event, and in a snapshot everybody."""
    if event["type"] == "stream.reset":
        return [text for message in event["messages"] for text in _texts(message["parts"])]
    is_user = event["type"] == "message.completed" and event["role"] == "user"
    return _texts(event["parts"]) if is_user else []


def _texts(parts: list[Event]) -> list[str]:
    return [part["text"] for part in parts if part["type"] == "text"]


def _printable(text: str) -> str:
    return _CONTROL.sub("", text)
