"""A program: a worker that is killed under a job which has started two daemons, one without any environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from ytray import task
from ytray.engine.run.setup import pack_setup, unpack_setup
from ytray.engine.run.worker import Worker
from ytray.engine.state.store import LaneRoom
from ytray.settings import settings


@task()
def leaves_a_process(word: str) -> None:
    subprocess.run(
        ["sh", "-c", f"setsid sleep 600 {word} & env -i setsid sleep 600 {word} &"],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    os.kill(os.getpid(), signal.SIGKILL)


def main(redis_url: str, word: str) -> None:
    store = unpack_setup(pack_setup(redis_url, settings()))
    store.take_office("tracker", "e", 60)
    leaves_a_process.delay(word)
    (claimed,) = store.claim("tracker", "e", 60_000, [LaneRoom("default", 0, 1)])
    Worker(store).run(claimed)


if __name__ == "__main__":
    main(*sys.argv[1:])
