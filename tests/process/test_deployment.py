"""The README's commands for many machines: the same processes, started apart."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.chaos.servers import free_port
from tests.process.product import ROOT, wait_for
from tests.valkey import Valkey

pytestmark = pytest.mark.process

BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
MIGRATE, WEB, WORKER = next(b for b in BLOCKS if "project.server" in b).strip().splitlines()


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    redis = Valkey(tmp_path / "valkey.sock")
    redis.start()
    yield {
        **os.environ,
        "DATA_DIR": str(tmp_path),
        "REDIS_URL": f"unix://{tmp_path}/valkey.sock",
        "DATABASE_URL": f"sqlite:///{tmp_path}/database.sqlite3",
        "SECRET_KEY": "the-same-everywhere-" + "0" * 40,
        "AUTH": "open",
        "LLM_PROVIDER": "scripted",
    }
    redis.kill()


def words(command: str, *, port: int) -> list[str]:
    command = command.replace("8000", str(port)).replace("0.0.0.0", "127.0.0.1")
    return [sys.executable, *shlex.split(command)[1:]]


def test_the_processes_work_when_they_are_started_apart(environment: dict[str, str]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = {"cwd": ROOT, "env": environment}
    subprocess.run(words(MIGRATE, port=port), check=True, capture_output=True, **options)
    with contextlib.ExitStack() as ends:
        for command in (WEB, WORKER):
            process = subprocess.Popen(words(command, port=port), **options)
            ends.callback(process.wait, 15)
            ends.callback(process.terminate)
        wait_for(lambda: is_ready(url), timeout_s=60)
        httpx.post(f"{url}/api/sessions", json={"session_id": "demo"}).raise_for_status()
        sent = httpx.post(f"{url}/api/sessions/demo/messages", json={"text": "What is 6 * 7?"})
        run = f"{url}/api/runs/{sent.json()['run_id']}"
        wait_for(lambda: httpx.get(run).json()["status"] == "finished", timeout_s=60)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").status_code == 200
    except httpx.TransportError:
        return False
