"""The application of Celery's side, as a careful user sets it up."""

from __future__ import annotations

import os

from celery import Celery

url = os.environ["BENCH_REDIS"].replace("unix://", "redis+socket://")
app = Celery("bench", broker=url, backend=url)
app.conf.update(
    task_acks_late=True,
    worker_send_task_events=True,
    task_send_sent_event=True,
    worker_prefetch_multiplier=4,
    result_expires=3600,
    broker_connection_retry_on_startup=True,
)


@app.task
def noop(number: int) -> int:
    """Do nothing."""
    return number
