"""What a batch needs to be done by a deadline: nodes, what its models' limits allow, and the money still to be paid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from statistics import fmean
from typing import cast

from ytray.engine.base.model import QUEUE_PRIORITIES, JobState, JobStatus
from ytray.engine.batch.eta import Pace
from ytray.engine.batch.ledger import Ledger
from ytray.engine.batch.plan import Asked, Batch, Limit, Plan, node_types, plan
from ytray.engine.batch.reading import batch_status
from ytray.engine.batch.stages import stages_of_task
from ytray.engine.cluster.capacity import cluster_nodes
from ytray.engine.jobs.task import all_tasks, find
from ytray.engine.state.store import Store
from ytray.settings import settings
from ytray.spend.journal import entries_of_job
from ytray.spend.limits import limits_of
from ytray.spend.model import Entry

_LOOKED_AT = 20  # completed items whose own way and calls are looked at
_PAGES = 10  # of the task's newest jobs, in which these are looked for
_PAGE = 200  # jobs


def plan_batch(where: Store, batch_id: str, asked: Asked) -> Plan:
    """What is needed for the items of a batch that have not ended. Raises UnknownBatch, InvalidArguments."""
    ledger = Ledger(where)
    status = batch_status(ledger, batch_id)
    earlier_items, earlier = stages_of_task(ledger, status.task_name)
    key = where.key(f"bp:{batch_id}")
    steps = cast("dict[bytes, bytes]", where.redis.hgetall(key))
    took = int(cast("bytes | None", where.redis.hget(where.key(f"b:{batch_id}"), "took")) or 0)
    pace = Pace(
        waiting=status.counts.waiting,
        active=status.counts.active,
        completed=status.counts.completed - status.reused,
        stages=status.stages,
        slots={},
        elapsed=0.0,
        per_item={task.decode(): int(n) / took for task, n in steps.items()} if steps and took else None,
        earlier=earlier,
        earlier_items=earlier_items,
    )
    left_to_pay = None if status.forecast_usd is None else max(0.0, status.forecast_usd - status.cost_usd)
    return _planned(where, status.task_name, pace, status.concurrency, left_to_pay, asked)


def plan_items(
    where: Store, task_name: str, items: int, asked: Asked, *, concurrency: int | None, left_to_pay: float | None
) -> Plan:
    """The same for so many items of a task that are not submitted yet, going by its earlier batches.

    Raises UnknownTask, InvalidArguments.
    """
    find(task_name)
    earlier_items, earlier = stages_of_task(Ledger(where), task_name)
    pace = Pace(
        waiting=items,
        active=0,
        completed=0,
        stages=(),
        slots={},
        elapsed=0.0,
        earlier=earlier,
        earlier_items=earlier_items,
    )
    return _planned(where, task_name, pace, concurrency, left_to_pay, asked)


def _planned(
    where: Store, task_name: str, pace: Pace, concurrency: int | None, left_to_pay: float | None, asked: Asked
) -> Plan:
    usual, has_cards = _usual_slots()
    types = node_types(asked.slots, asked.prices, usual, has_cards)
    items = _completed_items(where, task_name) if pace.left else []
    ways = [way for item in items if (way := own_way(_steps(where, item))) is not None]
    batch = Batch(
        task_name,
        pace,
        concurrency=concurrency,
        path=fmean(ways) if ways else None,
        carded=frozenset(name for name, task in all_tasks().items() if task.gpu),
        limits=_limits([entries_of_job(where, item.job_id) for item in items]),
        left_to_pay=left_to_pay,
    )
    return plan(batch, asked.deadline, types)


def _usual_slots() -> tuple[dict[str, int], bool]:
    """Slots by queue of a node, as living ones have them or one started here would; and whether any has a card."""
    import ray

    nodes = [node for node in cluster_nodes() if node.is_serving] if ray.is_initialized() else []
    slots = {queue: max((node.slots(queue) for node in nodes), default=0) for queue in QUEUE_PRIORITIES}
    has_cards = any(node.resources.get("GPU") for node in nodes)
    return {queue: number or settings().slots(queue) for queue, number in slots.items()}, has_cards


def _completed_items(where: Store, task_name: str) -> list[JobStatus]:
    found: list[JobStatus] = []
    place = None
    for _ in range(_PAGES):
        page, place = where.list_jobs(task_name=task_name, limit=_PAGE, before=place, results=False)
        found += [job for job in page if job.current_state is JobState.COMPLETED]
        if place is None or len(found) >= _LOOKED_AT:
            break
    return found[:_LOOKED_AT]


def _steps(where: Store, item: JobStatus) -> list[tuple[datetime, datetime, datetime]]:
    """When each step of an item was submitted, started and ended; a flow in the flow is its steps."""
    kids = where.children(item.job_id)
    if kids:
        return [step for kid in kids for step in _steps(where, kid)]
    if item.current_state is not JobState.COMPLETED or item.started_at is None or item.completed_at is None:
        return []
    return [(item.created_at, item.started_at, item.completed_at)]


def own_way(steps: Sequence[tuple[datetime, datetime, datetime]]) -> float | None:
    """Seconds that an item takes when none of its steps waits: of the chain of steps that led to its end.

    What a step had to wait for is the last one that had ended when it was submitted.
    """
    if not steps:
        return None
    seconds, (submitted, started, ended) = 0.0, max(steps, key=lambda step: step[2])
    while True:
        seconds += (ended - started).total_seconds()
        before = [step for step in steps if step[2] <= submitted]
        if not before:
            return seconds
        submitted, started, ended = max(before, key=lambda step: step[2])


def _limits(items: Sequence[Sequence[Entry]]) -> list[Limit]:
    """How fast each model's limits let items through, going by the calls that items made."""
    found = []
    for model in sorted({call.model for calls in items for call in calls}):
        calls = [call for of_item in items for call in of_item if call.model == model]
        limits = limits_of(model)
        seconds = sum((call.ended_at - call.at).total_seconds() for call in calls if call.ended_at is not None)
        tokens = sum(number for call in calls for unit, number in call.units.items() if "token" in unit)
        for most, used, what in (
            (limits.requests, 60.0 * len(calls), "requests a minute"),
            (limits.tokens, 60.0 * tokens, "tokens a minute"),
            (limits.at_once, seconds, "calls at once"),
        ):
            if most and used:
                what = f"the limit of {most:,} {what} of {model} (YTRAY_MODEL_LIMITS)"
                found.append(Limit(what, used / len(items) / most))
    return found
