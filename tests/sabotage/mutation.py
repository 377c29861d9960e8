"""A mutation: the code that carries a promise, what breaks it, and the tests that must notice."""

from dataclasses import dataclass
from pathlib import Path


class NotThere(Exception):
    """The code that a mutation replaces is not in its file exactly once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One thing that is done to the code on purpose."""

    #: The promise or the row of bad input that is broken by it.
    promise: str
    name: str
    path: str
    old: str
    new: str
    #: Tests of which at least one must fail, as pytest names them.
    tests: tuple[str, ...]

    def apply(self, root: Path) -> str:
        """Change the file below `root`; gives what it was. Raises NotThere."""
        path = root / self.path
        before = path.read_text()
        count = before.count(self.old)
        if count != 1:
            raise NotThere(f"{self.name}: found {count} times in {self.path}:\n{self.old}")
        path.write_text(before.replace(self.old, self.new))
        return before
