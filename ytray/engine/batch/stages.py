"""How long the steps of a batch's items take, as its own items or those of earlier batches have shown."""

from __future__ import annotations

import math
from typing import cast

from ytray.engine.batch.ledger import Ledger
from ytray.engine.batch.model import Stage


def read_stages(stored: dict[bytes, bytes]) -> list[Stage]:
    """The hash bd:<batch> or bt:<task>: the longest-lasting kind of step first."""
    counted = {name.decode(): int(value) for name, value in stored.items()}
    stages = []
    for name, done in counted.items():
        queue, _, rest = name.partition("|")
        task_name, _, what = rest.rpartition("|")
        if what == "n" and task_name and done:
            mean = counted[f"{queue}|{task_name}|ms"] / done
            spread = max(0.0, counted[f"{queue}|{task_name}|sq"] / done - mean * mean)
            stages.append(
                Stage(
                    task_name=task_name,
                    queue=queue,
                    done=done,
                    mean_seconds=mean / 1000,
                    deviation_seconds=math.sqrt(spread) / 1000,
                )
            )
    return sorted(stages, key=lambda stage: -stage.done * stage.mean_seconds)


def stages_of_task(ledger: Ledger, task_name: str) -> tuple[int, list[Stage]]:
    """How many items all batches of a task have done, and the steps that these took."""
    stored = cast("dict[bytes, bytes]", ledger.redis.hgetall(ledger.key(f"bt:{task_name}")))
    return int(stored.pop(b"items", 0)), read_stages(stored)


def slots_of(ledger: Ledger) -> dict[str, int]:
    """Slots by queue, as the tracker saw them last."""
    stored = cast("dict[bytes, bytes]", ledger.redis.hgetall(ledger.key("slots")))
    return {queue.decode(): int(number) for queue, number in stored.items()}


def seconds_for(ledger: Ledger, earlier: tuple[int, list[Stage]], items: int) -> float | None:
    """About how long so many items take when nothing else runs: the queue with the most work for each of its slots.

    None while no batch of the task has done any.
    """
    done, stages = earlier
    slots = slots_of(ledger)
    if not done or not slots:
        return None
    work: dict[str, float] = {}
    for stage in stages:
        work[stage.queue] = work.get(stage.queue, 0.0) + stage.done / done * stage.mean_seconds
    return max((items * seconds / max(1, slots.get(queue, 1)) for queue, seconds in work.items()), default=None)
