"""The nodes over HTTP: what is listed, and which drains are refused."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.engine.tasks_for_tests import times, wait_for
from tests.second_node import second_node
from ytray.engine.cluster.capacity import Node, cluster_nodes
from ytray.engine.cluster.nodes import NodeStatus, list_nodes
from ytray.engine.state.store import Store

Until = Callable[..., None]

# A process of the API that knows the state and is on no Ray cluster.
WITHOUT_RAY = """
import asyncio, sys, httpx
from ytray.api.app import build
from ytray.engine.state.connection import adopt_store
from ytray.engine.state.store import Store

async def ask():
    where = Store(sys.argv[1], "ytray")
    adopt_store(where)
    app = build(where, open_without_keys=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as api:
        for answer in (await api.get("/api/nodes"), await api.post("/api/nodes/any/drain", json={})):
            print(answer.status_code, answer.headers["content-type"], answer.headers.get("retry-after"), answer.text)

asyncio.run(ask())
"""


def test_the_nodes_are_listed_with_what_they_offer_and_run(api: httpx.Client, tmp_path: Path, until: Until) -> None:
    job = wait_for.options(queue="media").delay(str(tmp_path), "end")
    until(lambda: times(tmp_path, "started-end"), 60)
    (node,) = [node for node in api.get("/api/nodes").json()["nodes"] if node["is_head"]]
    assert (node["state"], node["slots"]["default"]) == ("up", 3)
    assert node["busy"]["media"] == 1
    assert job.id in node["jobs"]
    assert (node["drain_deadline"], node["warnings"]) == (None, [])
    (tmp_path / "end").touch()
    job.get(timeout=30)
    assert job.id not in api.get("/api/nodes").json()["nodes"][0]["jobs"]


@pytest.fixture(scope="module")
def second(system: Store) -> Iterator[NodeStatus]:
    """A second node, which is drained in the end."""
    with second_node(batch=1) as node:
        yield node


def test_a_node_is_not_drained_once_the_caller_was_told_that_ray_does_not_answer(
    api: httpx.Client, second: NodeStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed_late() -> list[Node]:
        late.append(told.wait(60))
        return cluster_nodes()

    late: list[bool] = []
    told, is_free = threading.Event(), threading.Event()
    for place in ("ytray.api.asking_ray.PATIENCE", "ytray.api.nodes.PATIENCE"):
        monkeypatch.setattr(place, 1.0)
    monkeypatch.setattr("ytray.engine.cluster.nodes.cluster_nodes", listed_late)
    threads = ThreadPoolExecutor(1)
    monkeypatch.setattr("ytray.api.asking_ray._ASKING", threads)
    threads.submit(is_free.wait, 60)
    threading.Timer(0.5, is_free.set).start()
    refused = api.post(f"/api/nodes/{second.node_id}/drain", json={})
    told.set()
    assert refused.status_code == 503, refused.text
    assert "Ray has not answered" in refused.text
    threads.shutdown()
    assert late, "no thread took it up"
    monkeypatch.undo()
    (found,) = [n for n in list_nodes() if n.node_id == second.node_id]
    assert (found.state, found.drain_deadline) == ("up", None)


def test_a_node_is_drained_and_one_that_is_gone_is_not(api: httpx.Client, second: NodeStatus, until: Until) -> None:
    answer = api.post(f"/api/nodes/{second.node_id[:16]}/drain", json={"deadline_seconds": 60, "reason": "a trial"})
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert told["state"] in ("draining", "gone")  # it ends at once when nothing runs there
    assert (told["node_id"], told["drain_reason"]) == (second.node_id, "a trial")
    assert told["warnings"] == []  # the other node offers the queue, too

    def listed() -> str:
        (found,) = [n for n in api.get("/api/nodes").json()["nodes"] if n["node_id"] == second.node_id]
        return str(found["state"])

    until(lambda: listed() == "gone", 30)
    again = api.post(f"/api/nodes/{second.node_id}/drain", json={})
    assert (again.status_code, again.json()["hint"]) == (409, "GET /api/nodes lists the nodes")


@pytest.mark.parametrize(
    ("node", "body", "status", "told"),
    [
        ("no-such-node", {}, 404, "there is no node 'no-such-node'"),
        ("", {}, 404, ""),
        ("HEAD", {}, 409, "is the head of the Ray cluster"),
        ("HEAD", {"deadline_seconds": -1}, 422, "deadline_seconds"),
        ("HEAD", {"deadline_seconds": 1e9}, 422, "deadline_seconds"),
        ("HEAD", {"deadline": 5}, 422, "deadline"),
    ],
)
def test_a_drain_that_cannot_be_is_refused(
    api: httpx.Client, node: str, body: dict[str, object], status: int, told: str
) -> None:
    head = api.get("/api/nodes").json()["nodes"][0]
    answer = api.post(f"/api/nodes/{node.replace('HEAD', head['node_id'])}/drain", json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert told in answer.text
    assert api.get("/api/nodes").json()["nodes"][0]["state"] == "up"


def test_a_process_without_ray_says_that_it_cannot_list_nodes(bare_store: Store) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RAY, bare_store.redis_url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert line.startswith("503 application/problem+json 1 "), line
        assert "not connected to the Ray cluster" in line
