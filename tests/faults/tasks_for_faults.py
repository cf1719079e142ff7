"""Tasks that die, or let themselves be killed, in chosen places."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import ray
from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer

from tests.engine.tasks_for_tests import note
from ytray import current_job, flow, task


@task()
def stay(folder: str, name: str) -> str:
    """Say which process runs this, and go on until somebody makes the file `name`."""
    beside = Path(folder) / f"{name}.pid.new"
    beside.write_text(str(os.getpid()))
    beside.replace(Path(folder) / f"{name}.pid")
    note(folder, f"{name}.runs")
    while not (Path(folder) / name).exists():
        time.sleep(0.005)
    return f"{name} by fence {current_job().fence}"


@task(queue="media", gpu=0.5)
def stays_on_a_card(folder: str, name: str) -> str:
    """As `stay`, with half a card where there is one."""
    return stay(folder, name)


@task()
def kills_its_worker(folder: str) -> None:
    note(folder, "runs")
    os.kill(os.getpid(), signal.SIGKILL)


class Deadly(BaseModel):
    """A result that kills its worker the first time it is written down: after the task's end, before the commit."""

    folder: str

    @model_serializer(mode="wrap")
    def _write(self, as_usual: SerializerFunctionWrapHandler) -> Any:
        if note(self.folder, "written") == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return as_usual(self)


@task()
def dies_before_its_commit(folder: str) -> Deadly:
    note(folder, "runs")
    return Deadly(folder=folder)


@task()
def quick(number: int) -> int:
    return number


@task(queue="media", gpu=0.5)
def on_a_card(number: int) -> tuple[str, int]:
    """The node that this runs on, and how many cards Ray gave it."""
    return ray.get_runtime_context().get_node_id(), len(ray.get_gpu_ids())


@task()
def step(folder: str, name: str) -> str:
    note(folder, name)
    return name


@flow()
async def long_flow(folder: str) -> str:
    note(folder, "flow")
    first = await asyncio.gather(*(step.delay(folder, f"early-{n}") for n in range(3)))
    gate = await stay.delay(folder, "gate")
    last = await step.delay(folder, "late")
    return ",".join([*first, gate.split()[0], last])


@task()
def fills_memory(folder: str) -> None:
    note(folder, "runs")
    held = []
    while True:
        held.append(bytearray(64 * 1024 * 1024))
        held[-1][::4096] = b"x" * len(held[-1][::4096])
        time.sleep(0.02)


@flow()
async def ends_its_process(folder: str, how: str) -> None:
    note(folder, how)
    if how == "at once":
        os._exit(3)
    if how == "later":
        asyncio.get_running_loop().call_later(0.05, os._exit, 3)
        await asyncio.sleep(60)
    if how == "in a thread":
        await asyncio.to_thread(os.kill, os.getpid(), signal.SIGKILL)


@flow()
async def blocks(folder: str) -> None:
    note(folder, "blocks")
    time.sleep(600)


@flow()
async def waits_for_gate(folder: str) -> str:
    note(folder, "beside")
    first = await step.delay(folder, "first")
    gate = await stay.delay(folder, "gate")
    return first + gate.split()[0]
