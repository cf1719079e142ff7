"""The event loop that flows share: it knows whose code it runs, and a flow that exits ends no other.

Whatever runs on a loop is a callback with a context, and in the context stands the flow. So each callback of a flow is
marked while it runs, whether it is a step of its coroutine, of a task that it started, or a timer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context
from typing import Any, TypeVarTuple

from ytray.engine.base.context import CurrentJob, job_in, running_job
from ytray.engine.base.marks import Marks
from ytray.engine.run.steps import start_branch

_THREADS = 32  # that the flows of one process share for `asyncio.to_thread`
_OWN_THREADS = 8  # for what the runner reads from Redis beside them

Ts = TypeVarTuple("Ts")
Exit = Callable[[CurrentJob, BaseException], None]


class FlowLoop(asyncio.SelectorEventLoop):
    """`stepping` is the flow whose code runs now, `steps` counts such runs, `turned` is when the loop last went round.

    All are read from other threads; times are of time.monotonic().
    """

    def __init__(self, marks: Marks, on_exit: Exit, turn_every: float) -> None:
        super().__init__()
        self._marks = marks
        self._on_exit = on_exit
        self._turn_every = turn_every
        self.stepping: CurrentJob | None = None
        self.steps = 0
        self.turned = time.monotonic()
        self.set_task_factory(start_branch)
        self.set_default_executor(MarkedThreads(marks, _THREADS, "ytray-flow-thread"))
        self.own_threads = ThreadPoolExecutor(_OWN_THREADS, "ytray-flow-own")
        self._turn()

    def _turn(self) -> None:
        self.turned = time.monotonic()
        self.call_later(self._turn_every, self._turn)

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As every loop's; a flow's callback is marked while it runs."""
        job = running_job() if context is None else job_in(context)
        if job is None:
            return super().call_soon(callback, *args, context=context)
        return super().call_soon(self._step, job, callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As every loop's; a flow's callback is marked while it runs."""
        job = running_job() if context is None else job_in(context)
        if job is None:
            return super().call_soon_threadsafe(callback, *args, context=context)
        return super().call_soon_threadsafe(self._step, job, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As every loop's; a flow's callback is marked while it runs."""
        job = running_job() if context is None else job_in(context)
        if job is None:
            return super().call_at(when, callback, *args, context=context)
        return super().call_at(when, self._step, job, callback, *args, context=context)

    def _step(self, job: CurrentJob, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        self._marks.set_loop(job.mark)
        self.steps += 1
        self.stepping = job
        try:
            callback(*args)
        except (SystemExit, KeyboardInterrupt) as left:
            # asyncio would end the loop by it, and with it every flow.
            self._on_exit(job, left)
        finally:
            self.stepping = None
            self._marks.clear_loop()


class MarkedThreads(ThreadPoolExecutor):
    """Threads for what flows give to `asyncio.to_thread`, marked while they run it."""

    def __init__(self, marks: Marks, most: int, name: str) -> None:
        super().__init__(most, thread_name_prefix=name)
        self._marks = marks

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As every executor's."""
        job = running_job()
        if job is None:
            return super().submit(function, *args, **kwargs)
        return super().submit(self._run, job.mark, function, args, kwargs)

    def _run(self, mark: bytes, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        place = self._marks.set_thread(mark)
        try:
            return function(*args, **kwargs)
        finally:
            self._marks.clear_thread(place)
