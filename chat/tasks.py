"""What Celery calls: one task, one call."""

import gc
import uuid
from typing import Any

from celery import shared_task, signals
from django.conf import settings

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


@signals.worker_shutting_down.connect
def _shut_down(**_: Any) -> None:
    for worker in _worker:
        worker.shut_down()


@shared_task(name="chat.execute")
def execute(run_id: str) -> None:
    """Execute the run of this id, unless somebody else does."""
    _worker[0].execute(uuid.UUID(run_id))
