"""Groups that are empty at first grow: the queues ask for nodes, and Ray's own scheduler finds room for all of it."""

from __future__ import annotations

import copy
import importlib
import math
from typing import Any

import pytest
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler.v2.instance_manager.config import NodeTypeConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil

from tests.cluster.reading import REPOSITORY, document, node_environment
from tests.cluster.test_kubernetes import of_kind
from ytray.engine.base.model import QUEUE_PRIORITIES
from ytray.tasks.media import GPU_SHARE

# Made by protoc, so that no type checker sees what is in it.
_messages = importlib.import_module("ray.core.generated.autoscaler_pb2")


def _on_kubernetes(spec: dict[str, Any]) -> tuple[dict[str, Any], set[str | None]]:
    resource = {"metadata": {"name": "ytray", "namespace": "default"}, "spec": copy.deepcopy(spec)}
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    told = {
        {entry["name"]: entry.get("value") for entry in group["template"]["spec"]["containers"][0]["env"]}.get(
            "YTRAY_AUTOSCALE_MOST"
        )
        for group in groups
    }
    return _derive_autoscaling_config_from_ray_cr(resource), told


def _described(name: str) -> tuple[dict[str, Any], set[str | None]]:
    """What the autoscaler is told of the cluster, and how many slots its nodes say are asked for at most."""
    if name == "cluster.yaml":
        return document(REPOSITORY / name), {node_environment().get("YTRAY_AUTOSCALE_MOST")}
    (found,) = of_kind(name)
    return _on_kubernetes(found["spec"] if name == "RayCluster" else found["spec"]["rayClusterConfig"])


@pytest.mark.parametrize("name", ["cluster.yaml", "RayCluster", "RayService"])
def test_what_the_queues_ask_for_at_most_makes_the_empty_groups_grow(name: str) -> None:
    config, told = _described(name)
    types = config["available_node_types"]
    empty = {name for name, one in types.items() if name != config["head_node_type"] and one.get("min_workers", 0) == 0}
    assert empty == {"media", "gpu"}
    (written,) = told
    assert written is not None, "no group with a minimum of 0 would ever grow"
    most = int(written)
    # Every queue full, and all of `media` composition, once with cards and once without.
    grown = set(_launched(config, most, math.ceil(GPU_SHARE * most))) | set(_launched(config, most, 0))
    assert empty <= grown


def _launched(config: dict[str, Any], most: int, cards: int) -> dict[str, int]:
    bundles = [{f"queue_{queue}": 1.0} for queue in QUEUE_PRIORITIES for _ in range(most)] + [{"GPU": 1.0}] * cards
    asked = ResourceRequestUtil.group_by_count([ResourceRequestUtil.make(bundle) for bundle in bundles])
    reply = ResourceDemandScheduler(None).schedule(
        SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs={
                name: NodeTypeConfig(
                    name=name,
                    resources=one["resources"],
                    min_worker_nodes=one.get("min_workers", 0),
                    max_worker_nodes=one["max_workers"],
                )
                for name, one in config["available_node_types"].items()
                if name != config["head_node_type"]
            },
            max_num_nodes=config["max_workers"],
            cluster_resource_constraints=[_messages.ClusterResourceConstraint(resource_requests=asked)],
        )
    )
    assert not reply.infeasible_cluster_resource_constraints, "the groups offer less, so none of it would come"
    return {launch.instance_type: launch.count for launch in reply.to_launch}
