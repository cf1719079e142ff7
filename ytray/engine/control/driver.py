"""The Ray driver of the actors on a cluster that was joined: a program that the Keeper runs (keeper.py)."""

from __future__ import annotations

import base64
import sys

import ray

from ytray.engine.control.actors import begin_actors
from ytray.engine.run.setup import unpack_setup
from ytray.settings import settings


def _drive(address: str) -> None:
    setup = base64.b64decode(sys.stdin.buffer.readline())
    unpack_setup(setup)
    ray.init(address=address, namespace=settings().namespace, log_to_driver=False)
    begin_actors(setup)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    _drive(sys.argv[1])
