"""The product as it is deployed: on one machine by itself, or twice behind nginx."""

import contextlib
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil
import redis

from tests.chaos.loops import LoopThread
from tests.chaos.proxy import Address, Proxy
from tests.chaos.servers import Nginx, PostgreSQL, Valkey, answers, free_port
from tests.fakes.provider import FakeProvider
from tests.process.product import Product, wait_for

SECRET_KEY = "only-for-chaos-" + "0" * 40
#: The key must never be seen outside; it is looked for in everything that is written.
KEY = "sk-secret-of-the-operator"


class Deployment:
    """What is started for a test, and the links between its parts."""

    #: How many web processes each instance has.
    webs: tuple[int, ...] = (1,)
    #: Where tasks are published, in Celery's words and past the links.
    broker_url: str

    def __init__(self, provider: FakeProvider, *, folder: Path | None = None) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="chatledger-chaos-"))
        self.ends = ExitStack()
        self.ends.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._thread = LoopThread("links")
        self.ends.callback(self._thread.close)
        self.provider_link = self.link(("127.0.0.1", provider.port))
        self.instances: list[Product] = []
        #: What the environment of every instance has besides.
        self.environment: dict[str, str] = {}
        #: The link between the clients and the product.
        self.front: Proxy

    @property
    def settings(self) -> dict[str, str]:
        """The environment that sends every request to the fake provider."""
        return {
            "LLM_PROVIDER": "openai",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self.provider_link.port}/v1",
            "OPENAI_API_KEY": KEY,
            "OPENAI_MODEL": "gpt-4o-mini",
            "LLM_TIMEOUT_S": "20",
            "LLM_MAX_RETRIES": "2",
            **self.environment,
        }

    def start(self) -> None:
        raise NotImplementedError

    def start_again(self) -> None:
        """Start what was killed; clients find it at the same place."""
        raise NotImplementedError

    def redis(self) -> redis.Redis:
        """A connection for the one who does the damage, past the links."""
        raise NotImplementedError

    def end(self) -> None:
        self.ends.close()

    def ensure_well(self) -> None:
        """Have everything running again after a fault."""
        for product, webs in zip(self.instances, self.webs, strict=True):
            wait_for(lambda p=product, n=webs: is_whole(p, webs=n), timeout_s=30)

    def processes(self) -> list[psutil.Process]:
        """Every process of the product, the supervisors first."""
        parents = [psutil.Process(product.pid) for product in self.instances]
        return [*parents, *(child for product in self.instances for child in product.processes())]

    def link(self, upstream: Address) -> Proxy:
        made = Proxy(upstream, thread=self._thread)
        self.ends.callback(made.close)
        return made

    def add_instance(self, name: str, settings: Mapping[str, str]) -> Product:
        product = Product(self.folder / name, **settings)
        self.instances.append(product)
        self.ends.callback(product.end)
        return product


class Single(Deployment):
    """`manage.py up` as it is: SQLite and a valkey of its own."""

    @property
    def product(self) -> Product:
        return self.instances[0]

    @property
    def database(self) -> Path:
        return self.product.data_dir / "chatledger.sqlite3"

    @property
    def broker_url(self) -> str:  # type: ignore[override]
        return f"redis+socket://{self.product.data_dir / 'valkey.sock'}"

    def redis(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.product.data_dir / "valkey.sock"))

    def start(self) -> None:
        self.add_instance("one", self.settings).start()
        self.front = self.link(("127.0.0.1", self.product.port))

    def start_again(self) -> None:
        self.product.start()
        self.front.upstream = ("127.0.0.1", self.product.port)

    def ensure_well(self) -> None:
        for link in (self.front, self.provider_link):
            link.heal()
        super().ensure_well()


class Cluster(Deployment):
    """Two instances on one PostgreSQL and one Valkey, with a link of their own to each."""

    webs = (1, 2)

    def __init__(self, provider: FakeProvider, *, second: Mapping[str, str] | None = None) -> None:
        super().__init__(provider)
        #: What the environment of the second instance has besides.
        self._second = second or {}
        self.redis_links: list[Proxy] = []
        self.database_links: list[Proxy] = []
        self.valkey = Valkey()

    @property
    def broker_url(self) -> str:  # type: ignore[override]
        return f"redis://127.0.0.1:{self.valkey.port}/0"

    def redis(self) -> redis.Redis:
        return redis.Redis(port=self.valkey.port, socket_timeout=5)

    def start(self) -> None:
        data = Path(tempfile.mkdtemp(prefix="chatledger-pg-"))
        self.postgresql = PostgreSQL(data, runtime=self.folder)
        self.ends.callback(self.postgresql.end)
        self.valkey.start()
        self.ends.callback(self.valkey.kill)
        for number, webs in enumerate(self.webs, start=1):
            # One after the other: the first one brings the database up to date.
            settings = self._settings_of_instance(webs) | (self._second if number == 2 else {})
            self.add_instance(f"instance-{number}", settings).start()
        nginx = Nginx(self.folder / "nginx", upstreams=[p.port for p in self.instances])
        nginx.start()
        self.ends.callback(nginx.end)
        self.front = self.link(nginx.address)

    def start_again(self) -> None:
        self.valkey.ensure_running()
        self.postgresql.ensure_running()
        for product in self.instances:
            product.begin()
        for product in self.instances:
            product.wait_until_ready()

    def ensure_well(self) -> None:
        links = (*self.redis_links, *self.database_links)
        for link in (self.front, self.provider_link, *links):
            link.heal()
        self.valkey.ensure_running()
        self.postgresql.ensure_running()
        super().ensure_well()

    def _settings_of_instance(self, webs: int) -> dict[str, str]:
        redis_link = self.link(self.valkey.address)
        database_link = self.link(self.postgresql.socket)
        self.redis_links.append(redis_link)
        self.database_links.append(database_link)
        return {
            **self.settings,
            "DEBUG": "0",
            "AUTH": "open",
            "SECRET_KEY": SECRET_KEY,
            "DATABASE_URL": f"postgres://postgres@127.0.0.1:{database_link.port}/postgres",
            "REDIS_URL": f"redis://127.0.0.1:{redis_link.port}/0",
            "WEB_PROCESSES": str(webs),
            "PORT": str(free_port()),
        }


def is_whole(product: Product, *, webs: int) -> bool:
    """Whether every process of an instance runs and its port answers."""
    running = [product.children(role) for role in ("web", "worker")]
    return [len(found) for found in running] == [webs, 1] and answers(("127.0.0.1", product.port))


def signal_all(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to all before any of them can notice."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
