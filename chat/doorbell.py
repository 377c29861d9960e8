"""Rings for a worker: Celery carries a run's id to whoever hears first.

It may fail. The reaper of every worker looks for runs that nobody heard of.
"""

import contextlib
import functools
import logging
import queue
import threading
import uuid

from celery import current_app

logger = logging.getLogger(__name__)

#: Runs that are to be rung for; while Redis is away it fills, and the reapers hear without it.
_to_ring: queue.Queue[uuid.UUID] = queue.Queue(1000)


def ring(run_id: uuid.UUID) -> None:
    """Tell the workers of a queued run, without waiting."""
    _start_ringing()
    with contextlib.suppress(queue.Full):
        _to_ring.put_nowait(run_id)


@functools.cache
def _start_ringing() -> None:
    # Apart from the loop, since Celery's client blocks for seconds while Redis is away; and a
    # daemon, since nobody's exit shall wait for it.
    threading.Thread(target=_ring_forever, name="doorbell", daemon=True).start()


def _ring_forever() -> None:
    while True:
        run_id = _to_ring.get()
        try:
            # By its name: who asks for a run knows nothing of those who execute it.
            current_app.send_task("chat.execute", (str(run_id),), retry=False)
        except Exception as error:  # noqa: BLE001 - whatever Redis does, the reapers hear
            logger.warning("The bell for run %s was not heard: %r", run_id, error)
