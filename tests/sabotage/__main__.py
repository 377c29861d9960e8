"""Breaks the product on purpose, one promise at a time, and demands that its tests notice.

`python -m tests.sabotage [promise or part of a name ...]`; works on a copy of the tree.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.sabotage.mutation import Mutation
from tests.sabotage.registry import MUTATIONS

ROOT = Path(__file__).resolve().parents[2]
GREEN_WITHIN_S = 1200
#: A test that hangs has noticed, too.
RED_WITHIN_S = 180
PASSED, FAILED = 0, 1


def copy_of_the_tree(target: Path) -> None:
    """Copy all files that git knows of, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def run_tests(root: Path, tests: Sequence[str], *, within_s: float) -> int | None:
    """Run these tests up to the first failure; gives pytest's exit code, None when they hang."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    with (root / "sabotage.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=root, stdout=log, stderr=subprocess.STDOUT)
        try:
            return process.wait(within_s)
        except subprocess.TimeoutExpired:
            # Interrupted, it ends the processes that it has started.
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
            return None


def sabotage(root: Path, mutation: Mutation) -> str:
    """Apply a mutation, run its tests, take it back; gives the word for what came of it."""
    before = mutation.apply(root)
    try:
        code = run_tests(root, mutation.tests, within_s=RED_WITHIN_S)
    finally:
        (root / mutation.path).write_text(before)
    return {PASSED: "NOT NOTICED", FAILED: "red", None: "red (hangs)"}.get(code, f"BROKEN ({code})")


def wanted(words: Sequence[str]) -> list[Mutation]:
    """The mutations of these promises, or whose names have these words in them; else all."""
    return [m for m in MUTATIONS if not words or any(w == m.promise or w in m.name for w in words)]


def main(words: Sequence[str]) -> int:
    """Give 0 when every mutation was noticed."""
    chosen = wanted(words)
    with tempfile.TemporaryDirectory(prefix="sabotage-") as scratch:
        root = Path(scratch)
        copy_of_the_tree(root)
        tests = sorted({test for mutation in chosen for test in mutation.tests})
        print(f"{len(tests)} tests on the code as it is ...", flush=True)
        if run_tests(root, tests, within_s=GREEN_WITHIN_S) != PASSED:
            print((root / "sabotage.log").read_text()[-4000:])
            print("They must pass before anything is broken.")
            return 2
        results = []
        for mutation in chosen:
            started = time.monotonic()
            results.append(sabotage(root, mutation))
            took_s = time.monotonic() - started
            print(
                f"{mutation.promise:6} {mutation.name:48} {results[-1]:12} {took_s:5.1f} s",
                flush=True,
            )
    unnoticed = sum(not result.startswith("red") for result in results)
    print(f"{len(results) - unnoticed} of {len(results)} mutations were noticed")
    return 1 if unnoticed or not results else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
