"""Tasks whose batches the tests run. Effects are counted in files, whose folder the caller names."""

from __future__ import annotations

import time
from pathlib import Path

from tests.engine.tasks_for_tests import counted, counted_unless_broken, note, wait_for
from ytray import PermanentError, RetryPolicy, flow, task
from ytray.spend.buying import buy
from ytray.spend.model import Bought, Call


@task()
def plain_item(folder: str, name: str) -> str:
    note(folder, name)
    return name


@task(retry=RetryPolicy(delays=()))
def fragile_item(folder: str, name: str, fails: bool = False) -> str:
    note(folder, name)
    if fails and not (Path(folder) / "mended").exists():
        raise PermanentError(f"row {name!r} cannot be made: code 4711")
    return name


@task(retry=RetryPolicy(delays=(600,)))
def patient_stage(folder: str) -> str:
    """Fail, and wait for ten minutes, while the folder is not mended."""
    if not (Path(folder) / "mended").exists():
        raise OSError("the network is away")
    return "mended"


@flow()
async def patient_item(folder: str, name: str) -> str:
    """A stage that waits to be tried again."""
    return await patient_stage.delay(folder) + name


@task()
def slow_item(name: str, seconds: float) -> str:
    time.sleep(seconds)
    return name


@flow()
async def staged_item(folder: str, name: str) -> str:
    """Two stages, a gate, and a last stage; each stage counts how often it ran."""
    first = await counted.delay(folder, f"{name}-first", 1)
    gate = await wait_for.delay(folder, "gate")
    last = await counted_unless_broken.delay(folder, f"{name}-last")
    return f"{first}{gate}{last}"


@task()
def no_op_stage(number: int, stage: int) -> int:
    return number + stage


@flow()
async def no_op_item(number: int) -> int:
    """Three stages that do nothing."""
    first = await no_op_stage.delay(number, 1)
    second = await no_op_stage.delay(first, 2)
    return await no_op_stage.delay(second, 3)


@task(retry=RetryPolicy(delays=()))
def paid_item(bill: str, number: int) -> int:
    """Buy something for a tenth of a cent; the seller writes a line on the bill."""

    def sell() -> Bought:
        with Path(bill).open("a") as file:
            file.write(f"{number}\n")
        return Bought(asset={"number": number}, usd=0.001)

    call = Call("seller", "cheap-model", "text", {"bill": bill, "number": number}, estimate_usd=0.001)
    return int(buy(call, sell)["number"])
