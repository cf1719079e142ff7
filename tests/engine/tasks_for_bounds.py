"""Flows and tasks that would take more than they may."""

from __future__ import annotations

import asyncio

from ytray import PermanentError, RetryPolicy, flow, task


@task()
def refuse_number(number: int) -> int:
    raise PermanentError(f"no {number}")


@flow(retry=RetryPolicy(delays=()))
async def all_of_it_fails(steps: int) -> int:
    return len(await asyncio.gather(*(refuse_number.delay(number=number) for number in range(steps))))


@flow(retry=RetryPolicy(delays=()))
async def too_many_steps(steps: int) -> int:
    return len(await asyncio.gather(*refuse_number.map([{"number": number} for number in range(steps)])))


@task()
def take_all_memory() -> int:
    raise MemoryError("cannot allocate 38 GB")
