"""`ytray up` with a node without Ray (idle_node.py) and a short patience: what its first argument says of the node."""

from __future__ import annotations

import os
import sys
from typing import TextIO, cast

import structlog
import typer

from ytray.cli.output import guarded
from ytray.full_disk import LossyStream
from ytray.settings import settings
from ytray.supervision.picture import Patience
from ytray.supervision.supervisor import Supervisor
from ytray.system.running import only_one


class WithoutRay(Supervisor):
    node_command = (sys.executable, "-m", "tests.supervision.idle_node", sys.argv[1])


def _up() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(cast(TextIO, LossyStream(sys.stderr))))
    home = settings().home
    with only_one(home):
        WithoutRay(
            home,
            with_standby=False,
            tell=lambda _: print("up", flush=True),
            patience=Patience(limit=2, stop=5, hang=float(os.environ.get("HANG", "60"))),
        ).run()


if __name__ == "__main__":
    try:
        guarded(_up)()
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
