"""`ytray nodes` and `ytray drain`, inside the cluster and over the API."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.cli.conftest import Ytray
from tests.engine.tasks_for_tests import times, wait_for
from tests.second_node import second_node
from ytray.engine.cluster.nodes import list_nodes
from ytray.engine.state.store import Store

Until = Callable[..., None]
ROOT = Path(__file__).parents[2]


def listed(ytray: Ytray) -> list[dict[str, Any]]:
    told = ytray("nodes", "--json")
    assert told.exit_code == 0, told.output
    found: list[dict[str, Any]] = json.loads(told.stdout)["nodes"]
    return found


def test_nodes_are_a_table_whose_ids_are_whole_also_in_a_narrow_terminal(ytray: Ytray) -> None:
    (head,) = [node for node in listed(ytray) if node["is_head"]]
    for columns in ("200", "80"):
        lines = ytray("nodes", COLUMNS=columns).stdout.splitlines()
        assert lines[0].split() == ["node", "host", "name", "state", "slots", "cards", "jobs"]
        (line,) = [line for line in lines if line.startswith(head["node_id"][:12])]
        assert head["host"] in line
        assert "up, head" in line
        assert "default\N{NO-BREAK SPACE}0/3" in " ".join(lines)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("no-such-node",), "there is no node 'no-such-node'"),
        (("HEAD",), "is the head of the Ray cluster"),
        (("HEAD", "--deadline", "soon"), "--deadline 'soon' is no length of time"),
        (("HEAD", "--deadline", "30d"), "deadline_seconds"),
    ],
)
def test_a_drain_that_cannot_be_exits_with_2(ytray: Ytray, arguments: tuple[str, ...], told: str) -> None:
    head = listed(ytray)[0]["node_id"]
    done = ytray("drain", *(head if argument == "HEAD" else argument for argument in arguments))
    assert done.exit_code == 2, done.output
    assert told in " ".join(done.stderr.split())
    assert listed(ytray)[0]["state"] == "up"


def test_a_drain_is_awaited_until_nothing_runs_there_and_ctrl_c_stops_the_wait_alone(
    ytray: Ytray, system: Store, tmp_path: Path, until: Until
) -> None:
    with second_node(media=1) as second:
        slots = sum(node["slots"]["media"] for node in listed(ytray))
        jobs = [wait_for.options(queue="media").delay(str(tmp_path), f"job-{n}") for n in range(slots)]
        until(lambda: all(times(tmp_path, f"started-job-{n}") for n in range(slots)), 60)
        (there,) = [node["jobs"] for node in listed(ytray) if node["node_id"] == second.node_id]
        (held,) = [n for n, job in enumerate(jobs) if [job.id] == there]

        drain = ("drain", second.node_id[:12], "--deadline", "10m", "--wait")
        inside = subprocess.Popen(
            [sys.executable, "-m", "ytray", *drain, "--reason", "new kernel"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "200"},
        )
        assert inside.stdout is not None
        assert "takes nothing new; 1 job runs there until" in inside.stdout.readline()
        inside.send_signal(signal.SIGINT)
        told = inside.communicate(timeout=60)[1]
        assert (inside.returncode, "the drain goes on" in told) == (1, True), told

        (node,) = [node for node in listed(ytray) if node["node_id"] == second.node_id]
        assert (node["state"], node["drain_reason"], node["jobs"]) == ("draining", "new kernel", there)
        before = deadline_of(second.node_id)
        done: list[Result] = []
        waiting = threading.Thread(target=lambda: done.append(ytray(*drain, "--json")))
        waiting.start()
        until(lambda: deadline_of(second.node_id) != before)
        assert not done, "it did not wait"
        (tmp_path / f"job-{held}").touch()
        waiting.join(60)
        assert done[0].exit_code == 0, done[0].output
        assert json.loads(done[0].stdout)["jobs"] == []
        assert jobs[held].status().current_state == "COMPLETED"
        for n in range(slots):
            (tmp_path / f"job-{n}").touch()


def deadline_of(node_id: str) -> datetime | None:
    return next(node.drain_deadline for node in list_nodes() if node.node_id == node_id)
