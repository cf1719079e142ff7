"""`/api/nodes`: the nodes of the cluster, and taking one out of service."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import ray
from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from ytray.api.access import Admin, Reader
from ytray.api.asking_ray import PATIENCE, asked
from ytray.api.problems import Forbidden, documented
from ytray.engine.cluster import nodes
from ytray.engine.cluster.nodes import LONGEST_DRAIN, NodeStatus
from ytray.errors import SystemUnavailable

router = APIRouter(prefix="/api/nodes", tags=["nodes"])

_AWAY = "the nodes cannot be listed or drained from here"

NodeName = Annotated[
    str, Path(description="A node's id or the beginning of it, its IP address, or its host name.", max_length=255)
]
T = TypeVar("T")


class Nodes(BaseModel):
    """The nodes of the cluster, the head first."""

    nodes: list[NodeStatus]


class Drain(BaseModel):
    """How a node is taken out of service."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"deadline_seconds": 300}]})

    deadline_seconds: float = Field(
        300.0,
        ge=0,
        le=LONGEST_DRAIN,
        allow_inf_nan=False,
        description="What still runs there after so long is interrupted, and goes on elsewhere from its checkpoint.",
    )
    reason: str = Field("", max_length=500, description="For people, and for Ray's own records.")


@router.get("", responses=documented())
async def list_nodes(caller: Reader) -> Nodes:
    """Each node with its state, slots, cards and the jobs that run there, for a key that is not bound to one user."""
    if caller.sees_only is not None:
        raise Forbidden("the nodes tell of all users' jobs: this takes a key that is not bound to one user")
    return Nodes(nodes=await _asked(nodes.list_nodes))


@router.post("/{node}/drain", status_code=202, responses=documented(404, 409))
async def drain(node: NodeName, given: Drain, _: Admin) -> NodeStatus:
    """Give a node nothing new, and have it emptied: what runs there ends by the deadline, or goes on elsewhere.

    To drain a node again sets a new deadline. There is no way back: a drained node ends, and joins anew when Ray is
    started on it again.
    """
    # Counted from now: a thread may be free only after the caller was told that the node is not drained.
    until = time.monotonic() + PATIENCE
    return await _asked(lambda: nodes.drain(node, given.deadline_seconds, given.reason, until=until))


async def _asked(question: Callable[[], T]) -> T:
    if not ray.is_initialized():
        raise SystemUnavailable(f"{_AWAY}: this process of the API is not connected to the Ray cluster")
    return await asked(question, _AWAY)
