"""Threads of a task belong to its job: `current_job()`, what they print and what they log.

Python gives a new thread an empty context (from 3.14 on it can inherit one). So where jobs run, a thread that is
started takes the job along of the code that starts it, and what is given to a ThreadPoolExecutor that of the code that
gives it: such a pool may be made anywhere, and be shared between jobs. `asyncio.to_thread` takes the context by itself.
A thread that was there before, fed by another way, knows no job; `contextvars.copy_context().run` tells it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ytray.engine.base.context import enter_job, running_job

_start: Callable[[threading.Thread], None] = threading.Thread.start
_submit: Callable[..., Future[Any]] = ThreadPoolExecutor.submit


def take_jobs_along() -> None:
    """From now on, threads of this process belong to the job of the code that starts them. Safe to call twice."""
    replaced: dict[type, tuple[str, object]] = {
        threading.Thread: ("start", _start_for_job),
        ThreadPoolExecutor: ("submit", _submit_for_job),
    }
    for owner, (name, ours) in replaced.items():
        setattr(owner, name, ours)


def _start_for_job(thread: threading.Thread) -> None:
    job = running_job()
    if job is not None:
        run = thread.run

        def run_for_job() -> None:
            enter_job(job)
            run()

        vars(thread)["run"] = run_for_job
    _start(thread)


def _submit_for_job(pool: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
    job = running_job()

    def for_job() -> Any:
        before = running_job()
        enter_job(job)
        try:
            return fn(*args, **kwargs)
        finally:
            enter_job(before)

    return _submit(pool, for_job)
