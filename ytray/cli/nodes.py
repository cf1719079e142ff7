"""`ytray nodes`, `ytray drain`."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ytray.cli.backend import Backend, backend
from ytray.cli.batch_words import span
from ytray.cli.lengths import seconds_of
from ytray.cli.output import AsJson, Exit, complaints, console, drawn_anew, guarded, print_json
from ytray.cli.videos import bar
from ytray.engine.base.model import QUEUE_PRIORITIES, JobStatus
from ytray.engine.base.names import NODE_WORD
from ytray.errors import SystemUnavailable, UnknownJob, YtrayError

if TYPE_CHECKING:
    from ytray.engine.cluster.nodes import NodeStatus

_SHOWN = 10  # jobs, while they are waited for
_OVERDUE = 120.0  # seconds after the deadline within which the last job has left: a lost lease has ended by then
_LOOKS = 2  # without a job, one after the other: one that was launched just before the drain may be about to begin


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (nodes, drain):
        app.command()(guarded(command))


def nodes(context: typer.Context, as_json: AsJson = False) -> Exit | None:
    """List the nodes of the cluster: what they offer, and what runs there. Of a queue's slots, busy/all."""
    found = backend(context).nodes()
    if as_json:
        print_json({"nodes": [node.model_dump(mode="json") for node in found]})
        return None
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("node", "host", "name", "state", "slots", "cards", "jobs"):
        table.add_column(name, no_wrap=name in ("node", "host", "state"))
    for node in found:
        told = (_slots(node), f"{node.gpus:g}" if node.gpus else "", str(len(node.jobs)))
        table.add_row(*map(Text, (node.node_id[:NODE_WORD], node.host, node.name, _state(node), *told)))
    console.print(table)
    for node in found:
        _warn(node)
    return None


def drain(
    context: typer.Context,
    node: Annotated[
        str, typer.Argument(metavar="NODE", help="Its id or the beginning of it, its IP address, or its host name.")
    ],
    deadline: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="What still runs after so long (90s, 5m, 1h30m) is interrupted, and goes on elsewhere.",
        ),
    ] = "5m",
    reason: Annotated[str, typer.Option(help="Why, for people.")] = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until no job runs there. Ctrl-C stops the wait alone.")
    ] = False,
    as_json: AsJson = False,
) -> Exit | None:
    """Take a node out of service: it gets nothing new, and what runs there ends or goes on elsewhere.

    There is no way back: a drained node ends, and joins anew when Ray is started on it again.
    """
    seconds = seconds_of(deadline)
    system = backend(context)
    status = system.drain(node, seconds, reason)
    try:
        if not as_json:
            _tell(status)
        if wait:
            status = _await_empty(system, status, seconds, silently=as_json)
    except KeyboardInterrupt:
        complaints.print("the drain goes on; `ytray nodes` shows how far it is")
        return Exit.FAILED
    if as_json:
        print_json(status.model_dump(mode="json"))
    return None


def _await_empty(system: Backend, drained: NodeStatus, seconds: float, *, silently: bool) -> NodeStatus:
    """Wait until no job runs on a node that is drained. Raises YtrayError when some do long after the deadline."""
    ends = time.monotonic() + seconds
    empty = 0
    with contextlib.nullcontext() if silently else drawn_anew() as live:
        while True:
            left, trouble = drained.jobs, ""
            try:
                left = system.jobs_on(drained.node_id)
                empty = 0 if left else empty + 1
                running = [] if silently else _statuses(system, left[:_SHOWN])
            except SystemUnavailable as away:
                empty, running, trouble = 0, [], str(away)
            drained = drained.model_copy(update={"jobs": left})
            if live is not None:
                live.update(_picture(drained, running, ends - time.monotonic(), trouble))
            if empty == _LOOKS:
                return drained
            if time.monotonic() > ends + _OVERDUE and trouble:
                raise SystemUnavailable(trouble)
            if time.monotonic() > ends + _OVERDUE:
                raise YtrayError(
                    f"{len(left)} jobs are on node {drained.node_id[:NODE_WORD]} long after the deadline "
                    f"({', '.join(left[:3])}): is the JobTracker at work? `ytray doctor` tells"
                )
            time.sleep(system.pace)


def _statuses(system: Backend, job_ids: list[str]) -> list[JobStatus]:
    found = []
    for job_id in job_ids:
        with contextlib.suppress(UnknownJob):
            found.append(system.status(job_id))
    return found


def _picture(node: NodeStatus, running: list[JobStatus], seconds: float, trouble: str) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for job in running:
        told = Text(job.progress_message, "dim", overflow="ellipsis", no_wrap=True)
        table.add_row(Text(job.job_id), Text(job.task_name), bar(job.progress), told)
    when = f"{span(seconds)} until they are interrupted" if seconds > 0 else "they are interrupted now"
    parts: list[RenderableType] = [
        Text(f"{_jobs(node)} on node {node.node_id[:NODE_WORD]}{f'; {when}' if node.jobs else ' any more'}")
    ]
    if running:
        parts.append(table)
    if running and len(node.jobs) > len(running):
        parts.append(Text(f"and {len(node.jobs) - len(running)} more", "dim"))
    if trouble:
        parts.append(Text(f"{trouble}; trying again", "red"))
    return Group(*parts)


def _tell(node: NodeStatus) -> None:
    until = f" until {node.drain_deadline:%H:%M:%S} UTC at most" if node.drain_deadline and node.jobs else ""
    console.print(
        f"node {node.node_id[:NODE_WORD]} ({node.host}) takes nothing new; {_jobs(node)} there{until}",
        markup=False,
        soft_wrap=True,
    )
    _warn(node)


def _warn(node: NodeStatus) -> None:
    for warning in node.warnings:
        complaints.print(f"node {node.node_id[:NODE_WORD]}: {warning}", style="yellow", markup=False, soft_wrap=True)


def _jobs(node: NodeStatus) -> str:
    return "1 job runs" if len(node.jobs) == 1 else f"{len(node.jobs) or 'no'} jobs run"


def _slots(node: NodeStatus) -> str:
    offered = [queue for queue in QUEUE_PRIORITIES if node.slots[queue] or node.busy[queue]]
    return ", ".join(f"{queue}\N{NO-BREAK SPACE}{node.busy[queue]}/{node.slots[queue]}" for queue in offered)


def _state(node: NodeStatus) -> str:
    if node.state != "draining":
        return f"{node.state}, head" if node.is_head else node.state
    left = (node.drain_deadline - datetime.now(UTC)).total_seconds() if node.drain_deadline else 0.0
    return f"draining, {span(left)} left" if left > 0 else "draining"
