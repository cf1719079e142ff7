"""A program: Ray's autoscaler over its fake nodes, and jobs that want nodes. Writes what happened to told.json.

The cluster is started as an operator would start it; whoever runs this stops its processes, which all carry the
environment variable YTRAY_HOME of this program.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import ytray
from tests.nodes.tasks_for_nodes import which_media_node
from ytray.engine.cluster.capacity import cluster_nodes

HEAD_ID = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"  # the only one that the fake provider knows
IDLE = 0.1  # minutes until a node that does nothing is taken away


def main(folder: Path) -> None:
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    address = f"{socket.gethostbyname(socket.gethostname())}:{port}"
    config = {
        "cluster_name": "growing",
        "max_workers": 4,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": address,
            "use_node_id_as_ip": True,  # its nodes share one address
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
            "media": {
                "resources": {"CPU": 1, "queue_media": 2, "object_store_memory": 80_000_000},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 2,
            },
        },
        "head_node_type": "ray.head.default",
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": IDLE,
        "auth": {"ssh_user": "nobody"},
        "docker": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "rsync_exclude": [],
        "rsync_filter": [],
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }
    (folder / "cluster.json").write_text(json.dumps(config))
    subprocess.run(
        [
            str(Path(sys.executable).parent / "ray"),
            "start",
            "--head",
            f"--port={port}",
            "--num-cpus=1",
            "--include-dashboard=false",
            f"--autoscaling-config={folder / 'cluster.json'}",
        ],
        check=True,
        capture_output=True,
        env={
            **os.environ,
            "RAY_FAKE_CLUSTER": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
            "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        },
    )
    os.environ["RAY_ADDRESS"] = address
    ytray.connect()
    begun = time.monotonic()
    told = {"at_first": media_nodes()}
    jobs = which_media_node.map([{}] * 12)
    until(lambda: media_nodes() == 2)
    told["grown_after"] = round(time.monotonic() - begun)
    told["completed"] = len([job.get(timeout=60) for job in jobs])
    idle = time.monotonic()
    until(lambda: media_nodes() == 0)
    told["gone_after"] = round(time.monotonic() - idle)
    (folder / "told.json").write_text(json.dumps(told))
    ytray.shutdown()


def media_nodes() -> int:
    return sum(node.is_alive and bool(node.slots("media")) for node in cluster_nodes())


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
