"""What a row of the fault matrix is, and when it has gone well."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.chaos.scene import Outcome, Scene
from tests.chaos.talks import Load

Profile = Literal["single", "cluster"]
FINE = frozenset({"finished", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the load is: the short form is part of every test run."""

    streams: int
    tokens: int
    gap_ms: int = 100
    is_long: bool = False

    def load(self, **more: object) -> Load:
        """The load of this size, or a part of it changed."""
        usual = {"streams": self.streams, "tokens": self.tokens, "gap_ms": self.gap_ms}
        return Load(**{**usual, **more})  # type: ignore[arg-type]

    def lasting(self) -> Load:
        """The same, but long enough that no answer ends before it is broken."""
        return self.load(tokens=max(self.tokens, 80))


SHORT = Size(streams=8, tokens=30)
LONG = Size(streams=50, tokens=150, is_long=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault: what is done, to which deployment, and what clients may see of it."""

    id: str
    fault: str
    profile: Profile
    seen: str
    play: Callable[[Scene, Size], Outcome]
    #: How runs may end.
    endings: frozenset[str] = FINE
    #: How some of them must end: a fault that hits nobody proves nothing.
    hits: frozenset[str] = frozenset()
    #: The longest time that a client may hear nothing, also while the fault lasts.
    longest_gap_s: float = math.inf
    #: What the libraries below us write, with tracebacks, when this happens.
    complaints: str = ""
    #: Left out of the short form, for the time it takes.
    is_long: bool = False

    def problems(self, outcome: Outcome) -> list[str]:
        """Everything that did not go as promised."""
        wrong = list(outcome.problems)
        wrong += [text for text in outcome.complaints if not self._is_expected(text)]
        counts = ("lost", "doubled", "difference")
        wrong += [f"{n}: {getattr(outcome, n)}" for n in counts if getattr(outcome, n)]
        if outcome.longest_gap_s > self.longest_gap_s:
            wrong.append(f"a client heard nothing for {outcome.longest_gap_s:.1f} s")
        if unexpected := set(outcome.endings) - self.endings:
            wrong.append(f"runs ended {sorted(unexpected)}, not {sorted(self.endings)}")
        if self.hits and not self.hits & set(outcome.endings):
            wrong.append(f"no run ended {sorted(self.hits)}: the fault hit nobody")
        return wrong

    def _is_expected(self, complaint: str) -> bool:
        return bool(self.complaints and re.search(self.complaints, complaint))
