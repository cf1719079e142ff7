"""`@flow`: an async function whose `await task.delay(…)` steps are jobs; it survives crashes by doing none twice."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from ytray.engine.base.model import FLOW_LANE
from ytray.engine.base.retry import RetryPolicy
from ytray.engine.jobs.task import Options, Task, register
from ytray.errors import InvalidArguments

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE = 500  # steps of `in_slices` that have not ended
_SLICE = 20  # steps that are submitted before other flows have their turn


class Flow(Task[P, T]):
    """An orchestration of tasks. Made by `@flow`; submitted and looked at like a task."""

    lane = FLOW_LANE

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the orchestration here (it is a coroutine: await it). Its steps are submitted as jobs all the same."""
        return super().__call__(*args, **kwargs)

    def _options(self, chosen: dict[str, Any]) -> Options:
        for name in ("soft_time_limit", "time_limit"):
            if chosen.get(name) is not None:
                raise InvalidArguments(f"flow {self.name} takes no {name}: flows have none, their steps have")
        return super()._options(chosen)

    def __repr__(self) -> str:
        return f"<flow {self.name} on queue {self.queue}>"


def flow(
    *,
    name: str | None = None,
    queue: str | None = None,
    retry: RetryPolicy | None = None,
    public: bool = True,
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Flow[P, T]]:
    """Make an async function a flow.

    Its steps are `await task.delay(…)`; `asyncio.gather` runs them side by side. After a crash the function runs again
    from its beginning, and each step that it submitted before is found again by its task and order (in what `gather`
    or `create_task` started: by its order there). So between steps it must decide by its arguments and the steps'
    results alone: not by the clock, at random, or by which step ends first. Where a step's arguments are others than
    in the run before, what it gave then counts.

    It holds no slot while it waits, has no time limit, and shares a thread with all other flows, so it must not block:
    work belongs into tasks, `job.get()` is refused (`await job`), and a flow that blocks for as long as a lease fails.
    What must block goes into `await asyncio.to_thread(…)`. A flow that ends its process three times is dead-lettered.

    Args:
        name: what it is called; the function's name by default.
        queue: the queue that it is listed under; by default the one that serves its module.
        retry: when it is run again after it raised by itself. A step that failed for good fails the flow at once.
        public: whether users with API keys of their own may submit it.

    Raises TypeError when the function is not async.
    """

    def made(function: Callable[P, Coroutine[Any, Any, T]]) -> Flow[P, T]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"flow {function.__name__} must be an async function (`async def`)")
        result: Flow[P, Any] = Flow(function, name=name, queue=queue, retry=retry, public=public)
        register(result)
        return result

    return made


async def in_slices(made: Task[..., R], calls: Iterable[Mapping[str, Any]]) -> list[R]:
    """A step for each of many calls: some hundred at once, and other flows have their turn in between.

    Returns their results in the order of the calls. When a step fails, no more are submitted, and its error is raised.
    """
    room = asyncio.Semaphore(_AT_ONCE)
    has_failed = False

    def ended(step: asyncio.Future[R]) -> None:
        nonlocal has_failed
        has_failed = has_failed or step.cancelled() or step.exception() is not None
        room.release()

    steps: list[asyncio.Future[R]] = []
    for call in calls:
        await room.acquire()
        if has_failed:
            break
        steps.append(asyncio.ensure_future(made.delay(**call)))
        steps[-1].add_done_callback(ended)
        if len(steps) % _SLICE == 0:
            await asyncio.sleep(0)
    return await asyncio.gather(*steps)
