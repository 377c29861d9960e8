"""The two systems that are compared: how each is started, and where its streams are."""

import asyncio
import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.processes import Processes, running

MODEL = "gpt-4o-mini"


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A system that runs; `new_url` gives the address of a conversation that has no history."""

    name: str
    processes: Processes
    new_url: Callable[[], str]

    async def new_urls(self, count: int) -> list[str]:
        """Addresses of `count` new conversations."""
        return [await asyncio.to_thread(self.new_url) for _ in range(count)]


@contextmanager
def fake_provider(folder: Path) -> Iterator[str]:
    """The provider that both systems ask; gives its base URL."""
    ready = folder / "provider.port"
    arguments = ("-m", "tests.fakes.provider", "--port-file", str(ready))
    log = folder / "provider.log"
    with running(*arguments, ready=ready, log=log, environment={}) as (_, port):
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def chatledger(folder: Path, base_url: str) -> Iterator[System]:
    """Chatledger as `manage.py up` starts it, with its database in `folder`."""
    environment = {
        "DATA_DIR": str(folder / "data"),
        "PORT": "0",
        "HOST": "127.0.0.1",
        "DEBUG": "0",
        "AUTH": "open",
        "LLM_PROVIDER": "openai",
        "OPENAI_BASE_URL": base_url,
        "OPENAI_API_KEY": "none",
        "OPENAI_MODEL": MODEL,
        # With an address for it, no local model is started; nobody asks there.
        "LOCAL_MODEL_URL": base_url.removesuffix("/v1"),
        "RATE_LIMIT_PER_MINUTE": "1000000",
    }
    ready, log = folder / "data" / "port", folder / "chatledger.log"
    started = running("manage.py", "up", ready=ready, log=log, environment=environment)
    with started as (pid, port):
        yield System(
            name="Chatledger",
            processes=Processes.below(pid),
            new_url=lambda: new_session(f"127.0.0.1:{port}"),
        )


@contextmanager
def reference(folder: Path, base_url: str) -> Iterator[System]:
    """The same agent in one FastAPI process."""
    ready, log = folder / "reference.port", folder / "reference.log"
    module = ("-m", "tests.benchmarks.reference")
    arguments = (*module, "--base-url", base_url, "--port-file", str(ready))
    with running(*arguments, ready=ready, log=log, environment={}) as (pid, port):
        yield System(
            name="Reference",
            processes=Processes.below(pid),
            new_url=lambda: f"ws://127.0.0.1:{port}/ws",
        )


def new_session(address: str) -> str:
    """Create a session and give the address of its socket."""
    request = urllib.request.Request(
        f"http://{address}/api/sessions",
        data=b"{}",
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        session_id = json.load(response)["session_id"]
    return f"ws://{address}/ws/sessions/{session_id}?after=0"
