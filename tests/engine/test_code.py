"""How a worker comes by the code of a task: a script's own, a module beside a script, a module of YTRAY_IMPORTS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine.tasks_for_tests import add
from ytray import Job, JobFailed, UnknownTask, dlq
from ytray.engine.jobs.task import all_tasks, find
from ytray.engine.state.store import Store

SCRIPT = """
import asyncio, os
from pydantic import BaseModel
import ytray
from ytray import flow, task

class Order(BaseModel):
    item: str
    pieces: int

OFFSET = 100

def with_offset(number):
    return number + OFFSET

@task()
def price(order: Order) -> Order:
    return Order(item=order.item.upper(), pieces=with_offset(order.pieces))

@flow()
async def total(numbers: list[int]) -> int:
    orders = await asyncio.gather(*(price.delay(Order(item="x", pieces=n)) for n in numbers))
    return sum(order.pieces for order in orders)

if __name__ == "__main__":
    answer = price.delay(Order(item="tea", pieces=2)).get(timeout=60)
    print(answer.item, answer.pieces, total.delay([1, 2]).get(timeout=60))
"""


def run(script: Path, **environment: str) -> str:
    """Run a script against the running system, as its user would; returns what it printed."""
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=script.parent,
        env={**os.environ, "PYTHONPATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_scripts_own_tasks_and_flows_run_on_the_workers(system: Store, tmp_path: Path) -> None:
    script = tmp_path / "shop.py"
    script.write_text(SCRIPT)
    assert run(script) == "TEA 102 203"
    # The script has left, and what it joined goes on.
    assert add.delay(1).get(timeout=30) == 2


def test_a_module_beside_a_script_is_imported_by_the_workers(system: Store, tmp_path: Path) -> None:
    (tmp_path / "shop_tasks.py").write_text(
        "from ytray import task\n\n@task()\ndef weigh(grams: int) -> str:\n    return f'{grams} g in {__name__}'\n"
    )
    script = tmp_path / "main.py"
    script.write_text("from shop_tasks import weigh\nprint(weigh.delay(grams=5).get(timeout=60))\n")
    assert run(script) == "5 g in shop_tasks"


def test_modules_of_imports_are_found_by_the_name_of_their_tasks(system: Store, tmp_path: Path) -> None:
    (tmp_path / "own_tasks.py").write_text(
        "from ytray import task\n\n@task(queue='media')\ndef embroider(word: str) -> str:\n    return f'~{word}~'\n"
    )
    script = tmp_path / "main.py"
    script.write_text(
        "from ytray.engine.jobs.task import find\n"
        "task = find('embroider')\n"
        "print(task.queue, task.delay(word='tea').get(timeout=60))\n"
    )
    assert run(script, YTRAY_IMPORTS="own_tasks") == "media ~tea~"


def test_code_that_no_worker_can_import_is_named(system: Store, tmp_path: Path) -> None:
    (tmp_path / "gone_tasks.py").write_text("from ytray import task\n\n@task()\ndef lost() -> None: ...\n")
    script = tmp_path / "main.py"
    script.write_text(
        "from gone_tasks import lost\n"
        "from pathlib import Path\n"
        "Path('gone_tasks.py').unlink()\n"
        "print(lost.delay().id)\n"
    )
    job: Job[Any] = Job(run(script, PYTHONDONTWRITEBYTECODE="1"))
    with pytest.raises(JobFailed, match=r"cannot import gone_tasks\.lost.*install the module on every node"):
        job.get(timeout=60)
    dlq.remove(job.id)


def test_an_unknown_task_suggests_the_one_that_was_meant(system: Store) -> None:
    with pytest.raises(UnknownTask, match="did you mean 'generate_hook'"):
        find("genrate_hook")
    assert "process_batch" in all_tasks()
