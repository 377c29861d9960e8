"""`make check`: everything that is checked without running the product, in a fixed order."""

import os
import subprocess
import sys
import tempfile

PRODUCTION = {
    "DEBUG": "0",
    "AUTH": "required",
    "HOST": "0.0.0.0",
    "ALLOWED_HOSTS": "chat.example",
    "SECRET_KEY": "only-for-checks-" + "0" * 44 + "aB3$xY7!",
}
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("mypy",),
    ("lint-imports",),
    ("python", "manage.py", "makemigrations", "--check", "--dry-run"),
    ("python", "manage.py", "check", "--deploy", "--fail-level", "WARNING"),
    ("bandit", "-q", "-ll", "-c", "pyproject.toml", "-r", "project", "chat", "costs", "examples"),
)
#: Where no advisory database can be reached, this one says nothing either way.
AUDIT = ("pip-audit", "--strict", "--progress-spinner", "off", "-r", "requirements/run.lock")


def main() -> None:
    failed = []
    with tempfile.TemporaryDirectory(prefix="chatledger-") as data_dir:
        environment = {**os.environ, **PRODUCTION, "DATA_DIR": data_dir}
        for command in COMMANDS:
            print("$", " ".join(command), flush=True)
            if subprocess.run(command, env=environment, check=False).returncode:
                failed.append(command[0])
    _audit()
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    print("all checks passed")


def _audit() -> None:
    print("$", " ".join(AUDIT), flush=True)
    try:
        told = subprocess.run(AUDIT, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        print("pip-audit: no answer, so nothing was audited")
        return
    lines = (told.stdout + told.stderr).strip().splitlines()
    if "vulnerabilit" in told.stdout and told.returncode and "GHSA" in told.stdout + told.stderr:
        print("\n".join(lines))
        sys.exit("failed: pip-audit")
    print(f"pip-audit: {lines[-1][:160] if lines else 'no findings'}")


if __name__ == "__main__":
    main()
