"""Messages that no client of ours puts into the queue; the worker refuses them and goes on."""

import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from tests.process.client import Client
from tests.process.product import Product

pytestmark = pytest.mark.process

QUEUE = "chatledger.runs"


class Bomb:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def queue(product: Product, client: Client) -> Iterator[Celery]:
    """A client of the broker; afterwards the same worker must still answer."""
    worker = product.child("worker")
    app = Celery("stranger", broker=f"redis+socket://{product.data_dir}/valkey.sock")
    app.conf.task_default_queue = QUEUE
    app.conf.task_ignore_result = True
    with app:
        yield app
    assert client.ask("[[fake tokens=1]]")["status"] == "finished"
    assert worker.is_running()


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["a", "b"], [None], [7], [[]], [{"a": 1}], ["no uuid"], ["\0"], ["x" * 100_000]),
        ["00000000-0000-4000-8000-000000000000"],
    ],
    ids=lambda arguments: ascii(arguments)[:30],
)
def test_C_9_a_message_with_wrong_arguments_is_refused(queue: Celery, arguments: Any) -> None:
    queue.send_task("chat.execute", args=arguments)


@pytest.mark.parametrize("name", ["no.such.task", "os.system", "__import__", "x" * 10_000])
def test_C_9_an_unknown_task_is_refused(queue: Celery, name: str) -> None:
    queue.send_task(name, args=["id"])


def test_C_9_a_pickle_is_not_opened(queue: Celery, tmp_path: Path) -> None:
    mark = tmp_path / "unpickled"
    queue.send_task("chat.execute", args=[Bomb(mark)], serializer="pickle")
    with queue.connection_for_write() as connection:
        producer = connection.Producer()
        for kind in ("application/x-python-serialize", "application/data"):
            producer.publish(
                pickle.dumps(Bomb(mark)),
                routing_key=QUEUE,
                content_type=kind,
                content_encoding="binary",
            )
    assert not mark.exists()


@pytest.mark.parametrize("headers", [{}, {"task": "chat.execute", "id": "1", "lang": "py"}])
@pytest.mark.parametrize("body", ["{nope", "null", "[]", "[1]", "7", json.dumps([[], {}, {}])])
def test_C_9_a_body_that_is_no_call_is_refused(
    queue: Celery, body: str, headers: dict[str, str]
) -> None:
    with queue.connection_for_write() as connection:
        connection.Producer().publish(
            body,
            routing_key=QUEUE,
            content_type="application/json",
            content_encoding="utf-8",
            headers=headers,
        )
