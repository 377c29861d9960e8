"""What the product wrote: the records that hold a traceback, and nothing secret anywhere."""

import re
from collections import defaultdict

#: A line as the supervisor passes it on: the child, and what it said.
LINE = re.compile(r"(?P<child>\S+) *\| (?P<text>.*)")
RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
COMPLAINT = re.compile(r"Traceback \(most recent call last\)|never (?:retrieved|awaited)")
LONGEST = 6000


def complaints(output: str) -> list[str]:
    """The records with a traceback or a forgotten task, each as one text."""
    return [record[:LONGEST] for record in records(output) if COMPLAINT.search(record)]


def records(output: str) -> list[str]:
    """The lines of all children, sorted into the records that they belong to."""
    by_child: dict[str, list[list[str]]] = defaultdict(list)
    for line in output.splitlines():
        found = LINE.match(line)
        child, text = (found["child"], found["text"]) if found else ("", line)
        written = by_child[child]
        if RECORD.match(text) or not written:
            written.append([])
        written[-1].append(line)
    return ["\n".join(record) for written in by_child.values() for record in written]
