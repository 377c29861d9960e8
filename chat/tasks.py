"""What Celery calls: one task, one call."""

import gc
import uuid
from collections.abc import Callable
from typing import Any

from celery import shared_task, signals
from celery.exceptions import InvalidTaskError
from celery.worker import strategy
from django.conf import settings

from chat import counters, vitals
from chat.agent import agent
from chat.worker import Worker

_worker: list[Worker] = []


@signals.worker_init.connect
def _start(**_: Any) -> None:
    agent.warm_up()
    # What is loaded by now stays; searching it for garbage would stop all streams for 0.2 s.
    gc.collect()
    gc.freeze()
    worker = Worker(
        concurrency=settings.ENV.worker_concurrency, grace_s=settings.ENV.shutdown_grace_s
    )
    worker.start()
    _worker.append(worker)
    counters.put("run_slots", settings.ENV.worker_concurrency)
    vitals.start("worker")


@signals.worker_shutting_down.connect
def _shut_down(**_: Any) -> None:
    for worker in _worker:
        worker.shut_down()


@signals.worker_shutdown.connect
def _wait_for_the_end(**_: Any) -> None:
    for worker in _worker:
        worker.wait_until_drained()


def careful(*arguments: Any, **options: Any) -> Callable[..., Any]:
    """Make Celery's own handler of messages, which refuses also those that it cannot read.

    By itself it would end the worker with them, and they would come again after each start.
    """
    handle = strategy.default(*arguments, **options)

    def handle_or_refuse(message: Any, *rest: Any) -> Any:
        try:
            return handle(message, *rest)
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise InvalidTaskError(f"The message cannot be read: {error}") from error

    return handle_or_refuse


@shared_task(name="chat.execute", Strategy="chat.tasks:careful")
def execute(run_id: str) -> None:
    """Execute the run of this id, unless somebody else does."""
    _worker[0].execute(uuid.UUID(run_id))
