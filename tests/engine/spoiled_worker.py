"""A program: a worker under a job that spoils what a process has, and then under another. Prints how both ended."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from typing import Any

from ytray import task
from ytray.engine.run.setup import pack_setup, unpack_setup
from ytray.engine.run.worker import Worker
from ytray.engine.state.store import LaneRoom
from ytray.settings import settings


@task()
def spoils() -> None:
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    shutil.rmtree(folder)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(3))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    sys.stderr.close()
    sys.stdout.close()
    replaced: Any = None
    sys.stdout = replaced
    os.close(2)


@task()
def finds_all_well() -> None:
    assert os.path.exists(os.getcwd())
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    print("said")
    print("said", file=sys.stderr)
    os.fstat(2)


def main(redis_url: str) -> None:
    store = unpack_setup(pack_setup(redis_url, settings()))
    store.take_office("tracker", "e", 60)
    jobs = [spoils.delay(), finds_all_well.delay()]
    (claimed,) = store.claim("tracker", "e", 60_000, [LaneRoom("default", 0, 2)])
    Worker(store).run(claimed)
    print(*(job.status().current_state for job in jobs))


if __name__ == "__main__":
    main(*sys.argv[1:])
