"""`ytray cluster plan`: how many nodes of each type a batch needs to be done in time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ytray.cli.backend import Backend, backend
from ytray.cli.batch_running import input_of, read
from ytray.cli.batch_words import span, usd
from ytray.cli.completion import task_names
from ytray.cli.lengths import seconds_of
from ytray.cli.output import AsJson, Exit, complaints, console, guarded, print_json
from ytray.engine.batch.model import DEFAULT_TASK, BatchOptions
from ytray.engine.batch.plan import Asked, Plan, asked
from ytray.errors import InvalidArguments

app = typer.Typer(help="Clusters: how large one has to be.", no_args_is_help=True)


@app.callback()
def _cluster() -> None:
    """Clusters: how large one has to be."""


def plan(
    context: typer.Context,
    batch: Annotated[
        str, typer.Argument(metavar="BATCH_ID|FILE", help="A batch, or the input of one that is not submitted yet.")
    ],
    deadline: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long it may take from now, as in 90m, 6h or 1h30m.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it is to be done, as in 2026-11-25T08:00; local time unless it says."),
    ] = None,
    task: Annotated[
        str, typer.Option(help="Of a FILE: what is done for each row.", autocompletion=task_names)
    ] = DEFAULT_TASK,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Of a FILE: items in the making at once, at most.")
    ] = None,
    slots: Annotated[
        list[str] | None,
        typer.Option(metavar="[TYPE.]QUEUE=N", help="Slots of a node; by default as the living nodes have them."),
    ] = None,
    price: Annotated[
        list[str] | None, typer.Option(metavar="TYPE=USD", help="US dollars for an hour of a node: media=0.25.")
    ] = None,
    as_json: AsJson = False,
) -> Exit | None:
    """Tell how many nodes of each type a batch needs to be done in time, going by measured durations."""
    wanted = asked(_until(deadline, by), slots or (), price or ())
    system = backend(context)
    if Path(batch).is_file():
        found = _plan_of_file(system, batch, task, concurrency, wanted)
    else:
        found = system.plan_batch(batch, wanted.deadline, slots=wanted.slots, prices=wanted.prices)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _tell(found)
    return None


app.command()(guarded(plan))


def _plan_of_file(system: Backend, file: str, task: str, concurrency: int | None, wanted: Asked) -> Plan:
    with input_of(file) as source:
        preparation = read(system, source, file, task, BatchOptions(concurrency=concurrency))
    prepared = preparation.prepared
    preparation.drop()
    if prepared.bad_count:
        complaints.print(f"{prepared.bad_count:,} wrong rows are left out", style="yellow")
    items = prepared.accepted - prepared.known
    if not items:
        raise InvalidArguments(f"{file} has no row that is still to be done; `ytray batch run --estimate` tells more")
    return system.plan_items(
        items,
        wanted.deadline,
        task=task,
        concurrency=concurrency,
        left_to_pay=prepared.likely_usd,
        slots=wanted.slots,
        prices=wanted.prices,
    )


def _until(deadline: str | None, by: str | None) -> float | datetime:
    if (deadline is None) == (by is None):
        raise InvalidArguments("say until when: either --deadline (as in 6h) or --by (as in 2026-11-25T08:00)")
    if by is not None:
        try:
            return datetime.fromisoformat(by).astimezone(UTC)
        except (ValueError, OverflowError):
            raise InvalidArguments(f"--by {by!r} is no time such as 2026-11-25T08:00 or …+01:00") from None
    return seconds_of(deadline or "")


def _tell(found: Plan) -> None:
    _say(
        f"{found.task_name}: {found.items_left:,} items left, {found.items_done:,} done here; going by "
        f"{found.measured_items:,} items and {found.measured_steps:,} steps that were measured"
    )
    if found.bottleneck:
        _say(found.bottleneck, "bold red")
        if found.nodes:
            _say("more than these nodes do not make it faster:")
    elif found.nodes:
        _say(f"to be done in {_span(found.deadline_seconds)}, nine times in ten:")
    if found.nodes:
        console.print(_table(found))
    if found.eta is not None:
        low, high = _span(found.eta.low_seconds), _span(found.eta.high_seconds)
        way = "" if found.item_seconds is None else f"; one item alone takes {_span(found.item_seconds)}"
        _say(f"done with them in about {_span(found.eta.seconds)} ({low} to {high}){way}")
    if found.nodes_usd is not None:
        _say(f"the nodes cost about {usd(found.nodes_usd)} in that time")
    if found.left_to_pay_usd:
        _say(f"still to pay to providers: about {usd(found.left_to_pay_usd)}")
    for note in found.notes:
        _say(note, "yellow")


def _table(found: Plan) -> Table:
    table = Table("nodes", "planned", "likely", "fewest", "slots of each", "work", box=None, header_style="bold")
    for need in found.nodes:
        own = [queue for queue in found.queues if queue.node_type == need.node_type]
        work = ", ".join(f"{queue.queue} {_span(queue.work_seconds)} of one slot" for queue in own)
        slots = " ".join(f"{queue.queue}={need.slots[queue.queue]}" for queue in own)
        numbers = ["none is enough" if n is None else f"{n:,}" for n in (need.nodes, need.likely, need.fewest)]
        table.add_row(*map(Text, (need.node_type, *numbers, slots, work)))
    return table


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else span(seconds)


def _say(text: str, style: str = "") -> None:
    console.print(text, style=style, soft_wrap=True, markup=False)
