"""What the README tells people to type works, and its numbers are the measured ones."""

import re
import subprocess
import sys

import pytest

from tests.process.product import ROOT

README = (ROOT / "README.md").read_text()
CURL = next(b for b in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "curl" in b)
PYTHON = next(iter(re.findall(r"```python\n(.*?)```", README, re.DOTALL)))


@pytest.mark.process
def test_the_readme_s_commands_work_one_after_the_other(product):
    commands = CURL.replace("localhost:8000", f"127.0.0.1:{product.port}")
    commands = commands.replace("curl -N", "curl -N --max-time 10 --silent")
    told = subprocess.run(
        ["bash", "-c", commands], capture_output=True, text=True, timeout=60, check=False
    ).stdout
    for expected in (
        '"session_id": "demo"',
        '"run_id"',
        "event: text.delta",
        "event: run.finished",
    ):
        assert expected in told
    snippet = PYTHON.replace("localhost:8000", f"127.0.0.1:{product.port}")
    said = subprocess.run(
        [sys.executable, "-c", snippet], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert said.strip()


@pytest.mark.parametrize("name", ["benchmarks", "chaos"])
def test_the_readme_s_numbers_are_the_measured_ones(name):
    results = (ROOT / "tests" / name / "RESULTS.md").read_text()
    quoted = re.search(rf"<!-- {name} -->(.*)<!-- /{name} -->", README, re.DOTALL)
    rows = [line for line in quoted.group(1).splitlines() if line.startswith("|")]
    assert len(rows) > 3
    for row in rows:
        assert row in results


@pytest.mark.parametrize("target", re.findall(r"`?make (\w+)`?", README))
def test_every_make_target_of_the_readme_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", re.findall(r"\]\(([\w/.]+)\)", README))
def test_every_page_that_the_readme_leads_to_exists(path):
    assert (ROOT / path).exists()
