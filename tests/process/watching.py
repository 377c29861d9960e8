"""What somebody else sees of the service, and what it costs its web process, meanwhile."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import psutil

from tests.process.client import Client, check_order, text_of

MEGABYTE = 2**20


class Watch(threading.Thread):
    """Notes the most memory that the web process has used while something happens."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__()
        self.process = process
        self.before_bytes = self.process.memory_info().rss
        self.most_bytes = self.before_bytes
        self.is_over = threading.Event()

    def run(self) -> None:
        while not self.is_over.wait(0.1):
            self.most_bytes = max(self.most_bytes, self.process.memory_info().rss)

    @property
    def growth_mb(self) -> float:
        return (self.most_bytes - self.before_bytes) / MEGABYTE


@contextmanager
def memory(process: psutil.Process) -> Iterator[Watch]:
    """Watch the memory of a process until the block is left."""
    watch = Watch(process)
    watch.start()
    try:
        yield watch
    finally:
        watch.is_over.set()
        watch.join()


def longest_gap_s(client: Client, *, tokens: int = 200, gap_ms: int = 20) -> float:
    """Ask for an answer as somebody else; all of it must come. Gives the longest pause in it."""
    came_at = []
    with client.socket(client.new_session()) as opened:
        opened.ask(f"[[fake tokens={tokens} gap_ms={gap_ms}]]")
        opened.read_until("text.delta")
        while opened.frames[-1]["type"] == "text.delta":
            came_at.append(time.monotonic())
            opened.read()
        opened.read_to_end()
    check_order(opened.frames)
    assert len(text_of(opened.frames).split()) == tokens
    return max(b - a for a, b in pairwise(came_at))
