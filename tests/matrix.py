"""Runs pytest, with the arguments given, on every other supported Python that this machine has."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13")


def interpreters() -> Iterator[tuple[str, str]]:
    """Find the supported Pythons other than this one, on the path or kept by pyenv."""
    for version in VERSIONS:
        if version == f"{sys.version_info.major}.{sys.version_info.minor}":
            continue
        kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        for candidate in (shutil.which(f"python{version}"), *kept):
            if candidate and _is(str(candidate), version):
                yield version, str(candidate)
                break
        else:
            print(f"Python {version} is not on this machine", flush=True)


def _is(interpreter: str, version: str) -> bool:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    told = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=False)
    return told.stdout.strip() == version


def main() -> None:
    for version, interpreter in interpreters():
        environment = f".venv-{version}"
        subprocess.run(
            ["make", f"{environment}/.dev", f"VENV={environment}", f"PYTHON={interpreter}"],
            check=True,
        )
        subprocess.run(
            [f"{environment}/bin/python", "-m", "pytest", "-p", "no:cacheprovider", *sys.argv[1:]],
            check=True,
        )


if __name__ == "__main__":
    main()
