"""Prometheus metrics: for work that runs elsewhere, and the metrics page itself (ytray/engine/control/metrics.py)."""

from ytray.engine.control.metrics import (
    render,
    track_task_complete,
    track_task_failure,
    track_task_retry,
    track_task_start,
    update_queue_depth,
    update_workers,
)

__all__ = [
    "render",
    "track_task_complete",
    "track_task_failure",
    "track_task_retry",
    "track_task_start",
    "update_queue_depth",
    "update_workers",
]
