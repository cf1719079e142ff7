"""`ytray upgrade`."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress
from typing import Annotated

import typer

from ytray.cli.lengths import seconds_of
from ytray.cli.output import AsJson, Exit, complaints, console, guarded, print_json
from ytray.errors import YtrayError

_LOOK_EVERY = 0.2  # seconds


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(guarded(upgrade))


def upgrade(
    deadline: Annotated[
        str, typer.Option(metavar="TIME", help="How long what runs now may take to end (90s, 5m, 1h30m).")
    ] = "5m",
    as_json: AsJson = False,
) -> Exit | None:
    """Start the system's actors anew, with the code and settings that are here: the last step of an upgrade.

    No job starts meanwhile; one that still runs at the deadline starts again, from its checkpoint, when they are back.
    """
    from redis.exceptions import NoPermissionError

    from ytray.engine.control.actors import replace_actors
    from ytray.engine.jobs.tracking import job_tracker
    from ytray.engine.state.connection import joined_system, store
    from ytray.engine.state.signing import sign_what_is_stored

    patience = seconds_of(deadline)
    joined = joined_system()
    where = store()
    held = [queue.name for queue in job_tracker.queues() if not queue.paused]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # by way of the end of the block: nothing must stay paused
    try:
        for queue in held:
            job_tracker.pause(queue)
        until = time.monotonic() + patience
        # Not the queues' own count: flows are in it, and those wait for steps that do not start now.
        while (running := where.redis.zcard(where.key("leases:tracker"))) and time.monotonic() < until:
            time.sleep(_LOOK_EVERY)
        replace_actors(joined)
        with suppress(NoPermissionError):  # where ytray's user of Redis may not look for keys
            sign_what_is_stored(where)
    finally:
        for queue in held:
            try:
                job_tracker.resume(queue)
            except YtrayError as failed:
                complaints.print(f"{queue} is still paused: {failed}; `ytray queues resume {queue}`", markup=False)
    if as_json:
        print_json({"upgraded": True, "started_again": running})
    else:
        console.print(
            f"the actors run with ytray here; {running} jobs start again" if running else "the actors run anew"
        )
    return None
