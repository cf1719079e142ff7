"""Jobs of several kinds. Each attempt tells its fence, so that the committed one can be told from others."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from ytray import current_job, flow, task
from ytray.spend.buying import buy
from ytray.spend.model import Bought, Call


def _row(name: str) -> str:
    """What this attempt will commit."""
    return f"{name}:{current_job().fence}"


@task()
def short(number: int) -> str:
    return _row(f"short-{number}")


@task()
def sleeping(number: int, seconds: float) -> str:
    row = _row(f"sleeping-{number}")
    time.sleep(seconds)
    return row


@task()
def failing_once(number: int) -> str:
    row = _row(f"failing-{number}")
    if current_job().attempt == 1:
        raise ValueError("the first attempt fails")
    return row


@task()
def chaos_step(flow_number: int, number: int) -> int:
    time.sleep(0.02)
    return number


@flow()
async def five_steps(number: int) -> int:
    first = await asyncio.gather(*(chaos_step.delay(number, n) for n in range(4)))
    last = await chaos_step.delay(number, sum(first))
    return last + 100


PRICE = 0.001  # US dollars a call


@task()
def paid_stage(number: int, bill: str) -> int:
    """Buy something; the seller writes a line on the bill."""

    def sell() -> Bought:
        with Path(bill).open("a") as file:
            file.write(f"{number}\n")
        return Bought(asset={"number": number}, usd=PRICE)

    call = Call("seller", "cheap-model", "text", {"number": number}, estimate_usd=PRICE)
    return int(buy(call, sell)["number"])


@task()
def free_stage(number: int) -> int:
    return number + 1


@flow()
async def paid_flow(number: int, bill: str) -> int:
    """Three stages that do nothing but pay once."""
    before = await free_stage.delay(number)
    bought = await paid_stage.delay(before - 1, bill)
    return await free_stage.delay(bought)
