"""`ytray queues`."""

from __future__ import annotations

from typing import Annotated

import typer

from ytray.cli.backend import backend
from ytray.cli.completion import queue_names
from ytray.cli.output import AsJson, Exit, console, guarded, print_json, print_table

app = typer.Typer(help="The four queues: what waits, what runs; pause and resume.", invoke_without_command=True)

QueueArgument = Annotated[
    str,
    typer.Argument(metavar="QUEUE", help="default, generation, media or batch.", autocompletion=queue_names),
]


@app.callback()
def default(context: typer.Context, as_json: AsJson = False) -> None:
    """Show all queues."""
    if context.invoked_subcommand is None:
        guarded(list_queues)(context, as_json=as_json)


def list_queues(context: typer.Context, as_json: AsJson = False) -> Exit | None:
    """Show all queues."""
    found = backend(context).queues()
    if as_json:
        print_json({"queues": [queue.model_dump(mode="json") for queue in found]})
    else:
        rows = [
            (
                q.name,
                q.priority,
                q.depth,
                q.executing,
                q.delayed,
                "?" if q.slots is None else q.slots,
                f"{q.oldest_wait_seconds:.0f} s",
                "paused" if q.paused else "no node offers it" if q.slots == 0 else "",
            )
            for q in found
        ]
        columns = ("queue", "priority", "waiting", "in flight", "delayed", "slots", "oldest", "")
        print_table(columns, rows, "")
    return None


def pause(context: typer.Context, queue: QueueArgument, as_json: AsJson = False) -> Exit | None:
    """Start no more jobs of a queue; those that run go on."""
    backend(context).pause(queue)
    _told(queue, "paused", as_json)
    return None


def resume(context: typer.Context, queue: QueueArgument, as_json: AsJson = False) -> Exit | None:
    """Start jobs of a queue again."""
    backend(context).resume(queue)
    _told(queue, "running", as_json)
    return None


app.command("list")(guarded(list_queues))
app.command("pause")(guarded(pause))
app.command("resume")(guarded(resume))


def _told(queue: str, now: str, as_json: bool) -> None:
    if as_json:
        print_json({"queue": queue, "paused": now == "paused"})
    else:
        console.print(f"{queue} is {now}")
