"""The whole product as its users start it: `manage.py up` on a data directory of its own."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 10.0
#: What the command line of each child contains.
COMMANDS = {"valkey": "valkey-server", "worker": "celery", "web": "project.server"}
READY = re.compile(r"Chatledger is ready: (\S+)")
PASSWORD = re.compile(r"name: (\S+) password: (\S+)")
#: Settings of the caller, or of the other tests, that would change what is tested.
NOT_PASSED_ON = (
    "DATABASE_URL",
    "REDIS_",
    "LANGSMITH_",
    "LANGCHAIN_",
    "LLM_",
    "OPENAI_",
    "ANTHROPIC_",
)
NOT_PASSED_ON += ("GEMINI_", "GOOGLE_", "OPENROUTER_", "AUTH", "SECRET_KEY", "DJANGO_", "PYTEST_")


class Product:
    """One start after the other of the product; `output` is what the newest one printed."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.environment = {
            "DATA_DIR": str(data_dir),
            "DEBUG": "1",
            "PORT": "0",
            # A server of the local model that is not there: nothing starts one.
            "LOCAL_MODEL_URL": "http://127.0.0.1:9",
            **environment,
        }
        self._output_path = data_dir.with_name(f"{data_dir.name}.output")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Product":
        try:
            return self.start()
        except BaseException:
            self.end()
            raise

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def output(self) -> str:
        return self._output_path.read_text(errors="replace")

    @property
    def log(self) -> str:
        return (self.data_dir / "log" / "chatledger.log").read_text(errors="replace")

    @property
    def port(self) -> int:
        return int((self.data_dir / "port").read_text())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def printed_password(self) -> tuple[str, str] | None:
        """The name and the password that this start printed."""
        found = PASSWORD.search(self.output)
        return (found[1], found[2]) if found else None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def whole_environment(self) -> dict[str, str]:
        """What its processes see, for commands beside them."""
        return {**_kept(os.environ), **self.environment}

    def new_api_key(self) -> str:
        """A key of the user whom the first start has made."""
        assert self.printed_password
        command = [sys.executable, "manage.py", "create_api_key", self.printed_password[0], "test"]
        environment = self.whole_environment
        return subprocess.check_output(command, cwd=ROOT, env=environment, text=True).strip()

    def begin(self) -> None:
        """Start without waiting for anything."""
        with self._output_path.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=ROOT,
                env=self.whole_environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def start(self) -> "Product":
        """Start and wait until the product says that it is ready."""
        self.begin()
        return self.wait_until_ready()

    def wait_until_ready(self) -> "Product":
        wait_for(self._is_ready, timeout_s=READY_WITHIN_S)
        return self

    def wait(self, timeout_s: float = STOP_WITHIN_S) -> int:
        """Wait until the parent has ended; gives its exit code."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask the product to end; gives the exit code. Raises TimeoutExpired after 10 s."""
        os.kill(self.pid, number)
        return self.wait()

    def end(self) -> None:
        """Leave nothing behind, however the test ended."""
        if self._process is None:
            return
        left = self.processes() if self._process.poll() is None else []
        if self._process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def processes(self) -> list[psutil.Process]:
        """All children that run now."""
        return psutil.Process(self.pid).children(recursive=True)

    def child(self, role: str) -> psutil.Process:
        """The running child of a role, waited for: it may just be started again."""
        return wait_for(lambda: self.children(role), timeout_s=20)[0]

    def children(self, role: str) -> list[psutil.Process]:
        """The children of a role that run now."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if is_alive(process) and COMMANDS[role] in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def kill(self, *roles: str) -> None:
        """Kill children with -9, all before any of them can be missed."""
        for process in [self.child(role) for role in roles]:
            process.kill()

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.output
        return READY.search(self.output) is not None


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], Any], *, timeout_s: float = 10) -> Any:
    """Wait until something is true; gives what it was."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not true within {timeout_s} s: {condition}"
        time.sleep(0.02)
    return found


def _kept(environment: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if not k.startswith(NOT_PASSED_ON)}
