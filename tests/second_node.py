"""A second node for the session's cluster: a raylet of its own on this machine."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import ray

from ytray.engine.base.model import QUEUE_PRIORITIES
from ytray.engine.cluster.nodes import NodeStatus, list_nodes

_SETTLED = 60.0  # seconds


@contextlib.contextmanager
def second_node(**slots: int) -> Iterator[NodeStatus]:
    """A node with so many slots by queue; its processes are gone afterwards, and so is the node."""
    known = {node.node_id for node in list_nodes()}
    offered = json.dumps({f"queue_{queue}": number for queue, number in slots.items()})
    assert set(slots) <= set(QUEUE_PRIORITIES)
    address = ray.get_runtime_context().gcs_address
    starting = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--address", address, "--num-cpus=1"]
    process = subprocess.Popen(
        [*starting, "--resources", offered, "--object-store-memory=80000000", "--disable-usage-stats"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    started: list[psutil.Process] = []
    try:
        node_id = ""
        deadline = time.monotonic() + _SETTLED
        while not node_id:
            assert process.poll() is None, "the second node did not start"
            assert time.monotonic() < deadline, "the second node did not join"
            node_id = next((node.node_id for node in list_nodes() if node.node_id not in known), "")
            time.sleep(0.05)
        started = psutil.Process(process.pid).children(recursive=True)
        yield next(node for node in list_nodes() if node.node_id == node_id)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            started += psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        for child in started:  # psutil kills none that has another's id by now
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        deadline = time.monotonic() + _SETTLED
        while any(node.is_alive for node in list_nodes() if node.node_id not in known):
            assert time.monotonic() < deadline, "the second node is still listed"
            time.sleep(0.05)
