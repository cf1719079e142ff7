"""`ytray top`: what the system does, as it does it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ytray.cli.backend import Backend, backend
from ytray.cli.output import AsJson, Exit, console, guarded, print_json
from ytray.cli.videos import bar
from ytray.engine.base.model import JobState, JobStatus, QueueStatus
from ytray.errors import SystemUnavailable

_MOST_RUNNING = 100  # jobs that one look asks for
_LINES_ABOVE = 14  # what stands above the running jobs, in lines of the screen
_STATE_STYLES = {"EXECUTING": "green", "RETRYING": "yellow", "FAILED": "red"}


@dataclass(frozen=True)
class _Look:
    at: datetime
    queues: list[QueueStatus]
    counts: dict[JobState, int]
    running: list[JobStatus]


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(guarded(top))


def top(
    context: typer.Context,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, print it and end.")] = False,
    as_json: AsJson = False,
) -> Exit | None:
    """Watch the queues and the running jobs until Ctrl-C. With --json, or into a file or pipe: once."""
    system = backend(context)
    seen = _look(system)
    if as_json:
        print_json(
            {
                "at": f"{seen.at:%Y-%m-%dT%H:%M:%S}.{seen.at.microsecond // 1000:03}Z",
                "queues": [queue.model_dump(mode="json") for queue in seen.queues],
                "counts": seen.counts,
                "running": [job.model_dump(mode="json") for job in seen.running],
            }
        )
    elif once or not console.is_terminal:
        console.print(_picture(seen, "", len(seen.running)))
    else:
        _watch(system, seen, interval)
    return None


def _watch(system: Backend, seen: _Look, interval: float) -> None:
    trouble = ""
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                room = max(1, console.height - _LINES_ABOVE)
                live.update(_picture(seen, trouble, room), refresh=True)
                time.sleep(interval)
                try:
                    seen, trouble = _look(system), ""
                except SystemUnavailable as error:
                    trouble = str(error)
    except KeyboardInterrupt:
        return


def _look(system: Backend) -> _Look:
    running = system.jobs(
        JobState.EXECUTING, task_name=None, queue=None, user_id=None, limit=_MOST_RUNNING, cursor=None
    )
    return _Look(datetime.now(UTC), system.queues(), system.counts(), running.jobs)


def _picture(seen: _Look, trouble: str, room: int) -> RenderableType:
    queues = Table("queue", "waiting", "in flight", "delayed", "slots", "oldest", "", box=None, header_style="bold")
    for q in seen.queues:
        slots = "?" if q.slots is None else str(q.slots)
        paused = Text("paused" if q.paused else "", "yellow")
        queues.add_row(
            q.name, str(q.depth), str(q.executing), str(q.delayed), slots, f"{q.oldest_wait_seconds:.0f} s", paused
        )
    counts = Text("  ").join(
        Text(f"{state.lower()} {number}", _STATE_STYLES.get(state, "") if number else "dim")
        for state, number in seen.counts.items()
    )
    running = Table(box=None, header_style="bold")
    for name in ("job", "task", "queue", "progress", "for"):
        running.add_column(name, no_wrap=True)
    running.add_column(ratio=1)
    for job in seen.running[:room]:
        seconds = (seen.at - job.started_at).total_seconds() if job.started_at else 0.0
        told = Text(job.progress_message, "dim", overflow="ellipsis", no_wrap=True)
        names = (Text(name) for name in (job.job_id, job.task_name, job.queue))
        running.add_row(*names, bar(job.progress), _span(seconds), told)
    more = seen.counts.get(JobState.EXECUTING, len(seen.running)) - min(room, len(seen.running))
    return Group(
        Text(f"ytray, {seen.at:%H:%M:%S} UTC", "bold"),
        Text(f"{trouble}; trying again", "red") if trouble else Text(),
        queues,
        Text(),
        Text.assemble(" ", counts),
        Text(),
        running if seen.running else Text(" nothing is running", "dim"),
        Text(f" and {more} more", "dim") if more > 0 else Text(),
    )


def _span(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole} s" if whole < 100 else f"{whole // 60}:{whole % 60:02} min"
