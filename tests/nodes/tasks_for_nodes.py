"""Tasks that say on which node they run, and a flow whose step waits."""

from __future__ import annotations

import time
from pathlib import Path

import ray

from ytray import current_job, flow, task


def here() -> str:
    return ray.get_runtime_context().get_node_id()


@task(queue="batch")
def goes_on(folder: str, name: str) -> list[int]:
    """Count up in checkpoints until somebody makes the file `name`; returns at what each attempt began."""
    begun: list[int] = current_job().restored() or []
    reached = begun[-1] + 1 if begun else 0
    Path(folder, f"{name}.at").write_text(here())
    while not Path(folder, name).exists():
        current_job().checkpoint([*begun, reached])
        time.sleep(0.02)
    return [*begun, reached]


@task(queue="batch")
def which_node(file: str = "") -> str:
    return here()


@task(queue="media")
def which_media_node() -> str:
    return here()


@flow(queue="batch")
async def in_one_step(folder: str, name: str) -> list[int]:
    """A flow that waits for one step."""
    with Path(folder, f"{name}.flow").open("a") as runs:
        runs.write(".")
    step: list[int] = await goes_on.delay(folder, name)
    return step
