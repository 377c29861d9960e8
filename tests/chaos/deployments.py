"""The product as it is deployed: on one machine by itself, or twice behind nginx."""

import shutil
import signal
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import psutil

from tests.chaos.loops import LoopThread
from tests.chaos.proxy import Address, Proxy
from tests.chaos.servers import Nginx, PostgreSQL, Valkey, answers, free_port
from tests.process.product import Product, wait_for

SECRET_KEY = "only-for-chaos-" + "0" * 40


class Deployment(Protocol):
    """What a fault needs to know of what it is done to."""

    instances: list[Product]
    #: The link between the clients and the product.
    front: Proxy

    def start(self) -> None: ...
    def end(self) -> None: ...
    def ensure_well(self) -> None:
        """Have everything running again after a fault."""


class Single:
    """`manage.py up` as it is: SQLite and a valkey of its own."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="chatledger-chaos-"))
        self._thread = LoopThread("links")
        self.instances = [Product(self.folder / "one", **settings)]
        self.front: Proxy

    @property
    def product(self) -> Product:
        return self.instances[0]

    @property
    def database(self) -> Path:
        return self.product.data_dir / "chatledger.sqlite3"

    @property
    def redis_url(self) -> str:
        return f"unix://{self.product.data_dir / 'valkey.sock'}"

    def start(self) -> None:
        self.product.start()
        self.front = Proxy(("127.0.0.1", self.product.port), thread=self._thread)

    def start_again(self) -> None:
        """Start what was killed; clients find it at the same place."""
        self.product.start()
        self.front.upstream = ("127.0.0.1", self.product.port)

    def end(self) -> None:
        self.product.end()
        self.front.close()
        self._thread.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ensure_well(self) -> None:
        self.front.heal()
        wait_for(lambda: is_whole(self.product, webs=1), timeout_s=30)


class Cluster:
    """Two instances on one PostgreSQL and one Valkey, with a link of their own to each."""

    #: How many web processes each instance has.
    WEBS = (1, 2)

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="chatledger-chaos-"))
        self._thread = LoopThread("links")
        self._settings = settings
        self._ends = ExitStack()
        self._ends.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.instances: list[Product] = []
        self.redis_links: list[Proxy] = []
        self.database_links: list[Proxy] = []
        self.valkey = Valkey()
        self.front: Proxy

    @property
    def redis_url(self) -> str:
        return f"redis://127.0.0.1:{self.valkey.port}/0"

    def start(self) -> None:
        ends = self._ends
        ends.callback(self._thread.close)
        data = Path(tempfile.mkdtemp(prefix="chatledger-pg-"))
        self.postgresql = PostgreSQL(data, runtime=self.folder)
        ends.callback(self.postgresql.end)
        self.valkey.start()
        ends.callback(self.valkey.kill)
        for number, webs in enumerate(self.WEBS, start=1):
            self._add_instance(f"instance-{number}", webs=webs)
        for product in self.instances:
            # One after the other: the first one brings the database up to date.
            ends.callback(product.end)
            product.start()
        ports = [product.port for product in self.instances]
        self.nginx = Nginx(self.folder / "nginx", upstreams=ports)
        self.nginx.start()
        ends.callback(self.nginx.end)
        self.front = self._link(self.nginx.address)

    def end(self) -> None:
        self._ends.close()

    def start_again(self) -> None:
        """Start what was killed, at the ports that nginx knows."""
        self.valkey.ensure_running()
        for product in self.instances:
            product.begin()
        for product in self.instances:
            product.wait_until_ready()

    def ensure_well(self) -> None:
        for link in (self.front, *self.redis_links, *self.database_links):
            link.heal()
        self.valkey.ensure_running()
        self.postgresql.ensure_running()
        for product, webs in zip(self.instances, self.WEBS, strict=True):
            wait_for(lambda p=product, n=webs: is_whole(p, webs=n), timeout_s=30)  # type: ignore[misc]

    def _link(self, upstream: Address) -> Proxy:
        link = Proxy(upstream, thread=self._thread)
        self._ends.callback(link.close)
        return link

    def _add_instance(self, name: str, *, webs: int) -> None:
        redis_link = self._link(self.valkey.address)
        database_link = self._link(self.postgresql.socket)
        self.redis_links.append(redis_link)
        self.database_links.append(database_link)
        settings = {
            **self._settings,
            "SECRET_KEY": SECRET_KEY,
            "DATABASE_URL": f"postgres://postgres@127.0.0.1:{database_link.port}/postgres",
            "REDIS_URL": f"redis://127.0.0.1:{redis_link.port}/0",
            "WEB_PROCESSES": str(webs),
            "PORT": str(free_port()),
        }
        self.instances.append(Product(self.folder / name, **settings))


def is_whole(product: Product, *, webs: int) -> bool:
    """Whether every process of an instance runs and its port answers."""
    running = [product.children(role) for role in ("web", "worker")]
    return [len(found) for found in running] == [webs, 1] and answers(("127.0.0.1", product.port))


def signal_all(processes: list[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to all before any of them can notice."""
    for process in processes:
        process.send_signal(number)
