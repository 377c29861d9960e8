"""Fixtures for all tests. Alice owns, Charlie may not."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from chat import database, sessions
from chat.models import ChatSession
from chat.principals import Principal
from chat.worker import Worker
from tests import ledger_guard, valkey
from tests.valkey import Valkey


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=("sqlite", "postgresql"),
        default="sqlite",
        help="the database of the tests; tests/environment.py starts the server",
    )


@pytest.fixture
def alice() -> Principal:
    return Principal("user:alice")


@pytest.fixture
def charlie() -> Principal:
    return Principal("user:charlie")


@pytest.fixture
def session(alice: Principal) -> ChatSession:
    made, _ = sessions.create(alice, model="scripted:demo")
    return made


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    server = valkey.at_settings()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis(valkey_server: Valkey) -> Valkey:
    """The running valkey; a test that kills it need not start it again."""
    valkey_server.ensure_running()
    return valkey_server


@pytest.fixture(scope="session", autouse=True)
def _flush_what_is_written_once(django_db_setup: None) -> Iterator[None]:
    """Between tests, tables are emptied whose rows the database lets nobody delete."""
    operations = type(connection.ops)
    flush = operations.execute_sql_flush

    def unguarded_flush(*args: Any, **kwargs: Any) -> None:
        with ledger_guard.off():
            flush(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "execute_sql_flush", unguarded_flush)
        yield


@pytest.fixture(scope="session", autouse=True)
def _close_database_threads(django_db_setup: None) -> Iterator[None]:
    """PostgreSQL drops no test database that the executor's threads are connected to."""
    yield
    barrier = threading.Barrier(database.THREADS)

    def close() -> None:
        barrier.wait(10)
        connection.close()

    for closing in [database._threads.submit(close) for _ in range(database.THREADS)]:
        closing.result()


@pytest.fixture
def worker(transactional_db: None, redis: Valkey) -> Iterator[Worker]:
    """A worker as a Celery process has it, but in this process, on the test database."""
    made = Worker(concurrency=50)
    made.start()
    yield made
    made.close()
