"""The Celery application: a doorbell that brings run ids to the workers."""

import os
import warnings

from celery import Celery
from celery.platforms import SecurityWarning

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

from project import env as environment

# Celery warns of root because of pickle, which is refused here.
warnings.filterwarnings("ignore", category=SecurityWarning)

env = environment.read()
app = Celery("chatledger")
app.conf.update(
    broker_url=env.redis_url.replace("unix://", "redis+socket://", 1),
    task_ignore_result=True,
    task_default_queue="chatledger.runs",
    # The lease in the database decides who executes a run; a lost or doubled message is harmless.
    task_acks_late=False,
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "socket_connect_timeout": 2,
        "socket_timeout": 10,
        "retry_policy": {"max_retries": 1, "timeout": 2},
        # Of who rings the bell; a worker's own connection is tried for ever.
        "max_retries": 1,
        "connect_retries_timeout": 2,
    },
    task_publish_retry=False,
)
app.autodiscover_tasks(["chat"])
