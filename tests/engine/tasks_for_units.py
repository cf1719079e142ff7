"""Tasks of the tests of units of work: they publish files, and order things that are taken back when they fail."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.engine.tasks_for_tests import note
from ytray import current_job, task, unit_of_work


@task()
def take_back(folder: str, order: str) -> None:
    """Undo one order."""
    note(folder, f"took-back-{order}")


@task()
def publish_at_the_gate(folder: str, name: str, text: str) -> str:
    """Publish a file, and complete when somebody makes the file `gate`."""
    with unit_of_work() as unit:
        file = Path(folder) / f"{name}.made"
        file.write_text(text, "utf-8")
        uri = unit.publish(file, name)
        note(folder, "published")
        while not (Path(folder) / "gate").exists():
            time.sleep(0.005)
    return uri


@task()
def order_and_die_once(folder: str) -> int:
    """Order something; the first attempt is killed thereafter."""
    fence = current_job().fence
    with unit_of_work() as unit:
        unit.on_abort(take_back, folder, order=f"{fence}")
        note(folder, f"ordered-{fence}")
        if fence == 1:
            os.kill(os.getpid(), signal.SIGKILL)
    return fence


@task()
def order_and_wait(folder: str) -> None:
    """Order something and wait for ever."""
    with unit_of_work() as unit:
        unit.on_abort(take_back, folder, "the-long-one")
        note(folder, "ordered")
        time.sleep(60)
