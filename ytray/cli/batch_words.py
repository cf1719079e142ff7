"""What the commands say of batches: how one stands, what is wrong with an input, what went wrong and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ytray.cli.output import complaints, console
from ytray.cli.videos import waits
from ytray.engine.batch.model import DEFAULT_TASK, BadRow, BatchState, BatchStatus, ErrorGroup, Eta, Prepared, Resumed

_MOST_BAD_SHOWN = 50
_MOST_LINES_SHOWN = 10  # of the items that failed alike


def is_over(status: BatchStatus) -> bool:
    """Whether nothing more happens by itself: it has ended, or is paused and nothing of it runs."""
    return status.state.has_ended or (status.state is BatchState.PAUSED and status.counts.active == 0)


def line_of(status: BatchStatus) -> str:
    """A batch in a line."""
    counts = status.counts
    parts = [f"{counts.completed:,} of {status.total:,} completed"]
    parts += [f"{number:,} {what}" for number, what in ((counts.failed, "failed"), (counts.active, "active")) if number]
    if status.items_per_minute is not None and not status.state.has_ended:
        parts.append(f"{status.items_per_minute:,.1f} a minute")
    parts.append(usd(status.cost_usd))
    if status.eta is not None and not status.state.has_ended:
        parts.append(eta_of(status.eta))
    why = f" ({status.reason})" if status.reason else ""
    return f"{status.progress:5.1f} % {status.state}{why}: {', '.join(parts)}"


def retries_of(status: BatchStatus) -> list[Text]:
    """A line for each error after which something of a batch waits to be tried again."""
    return [waits(one.task_name, one.until, one.count, one.error) for one in status.retries]


def eta_of(eta: Eta) -> str:
    """When it will be done, and between what eight times in ten: "done in about 12 min (9–16)"."""
    unit, size, decimals = _unit(eta.seconds)
    low, high = (f"{seconds / size:.{decimals}f}" for seconds in (eta.low_seconds, eta.high_seconds))
    return f"done in about {eta.seconds / size:.{decimals}f} {unit} ({low}–{high})"


def about(seconds: float) -> str:
    """A length of time as people say it: "about 4 min"."""
    unit, size, decimals = _unit(seconds)
    return f"about {seconds / size:.{decimals}f} {unit}"


def usd(amount: float) -> str:
    """US dollars, to the cent, and more exactly where that would hide what little it is."""
    return f"{amount:,.2f} USD" if amount >= 1 else f"{amount:.4f} USD"


def _unit(seconds: float) -> tuple[str, float, int]:
    for unit, size, most, decimals in (("s", 1.0, 100.0, 0), ("min", 60.0, 100.0, 0), ("h", 3600.0, 48.0, 1)):
        if seconds < most * size:
            return unit, size, decimals
    return "days", 86400.0, 1


def span(seconds: float) -> str:
    """A length of time as a clock shows it: 12 s, 4:05 min, 3:20:11 h."""
    whole = max(0, int(seconds))
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02} h"


def tell_bad_rows(bad: Sequence[BadRow], count: int) -> None:
    """Print the first of an input's mistakes as a table, and how many more there are."""
    table = Table("line", "field", "reason", box=None, header_style="bold", pad_edge=False)
    for row in bad[:_MOST_BAD_SHOWN]:
        table.add_row(Text(f"{row.line:,}"), Text(row.field), Text(row.reason))
    complaints.print(table)
    if (more := count - min(len(bad), _MOST_BAD_SHOWN)) > 0:
        complaints.print(f"and {more:,} more", style="dim")


def tell_prepared(prepared: Prepared, task: str) -> None:
    """Print what an input is, what it would cost and how long it would take."""
    what = "video" if task == DEFAULT_TASK else "item"
    told = [f"{prepared.accepted:,} {what}{'' if prepared.accepted == 1 else 's'}"]
    if prepared.known:
        told.append(f"{prepared.known:,} of them done before")
    if prepared.duplicates:
        told.append(f"{prepared.duplicates:,} left out as repeated")
    if prepared.likely_usd is not None:
        told.append(f"likely {usd(prepared.likely_usd)}")
    if prepared.most_usd is not None:
        told.append(f"at most {usd(prepared.most_usd)}")
    if prepared.seconds is not None:
        told.append(about(prepared.seconds))
    console.print(", ".join(told), soft_wrap=True)


def tell_resumed(resumed: Resumed) -> None:
    """Print what a resumption started anew."""
    numbers = (
        (resumed.again, "once more"),
        (resumed.added, "added"),
        (resumed.changed, "changed"),
        (resumed.removed, "removed"),
    )
    told = ", ".join(f"{number:,} {what}" for number, what in numbers if number)
    if not told and resumed.state is BatchState.COMPLETED:
        told = "nothing to do: every item has completed"
    console.print(f"{resumed.batch_id}: {told or 'goes on'}", markup=False, soft_wrap=True)


def tell_end(status: BatchStatus, errors: Sequence[ErrorGroup]) -> None:
    """Print what came of a batch, and what to do next when it did not complete."""
    counts, batch_id = status.counts, status.batch_id
    told = [f"{counts.completed:,} of {status.total:,} completed"]
    others = ((counts.failed, "failed"), (counts.cancelled, "cancelled"), (counts.discarded, "discarded"))
    told += [f"{number:,} {what}" for number, what in others if number]
    if status.started_at and status.ended_at:
        told.append(f"in {span((status.ended_at - status.started_at).total_seconds())}")
    console.print(f"{', '.join(told)}, {usd(status.cost_usd)}", style="bold", soft_wrap=True)
    tell_errors(errors, batch_id)
    if status.state is BatchState.PAUSED:
        console.print(f"paused{f', {status.reason}' if status.reason else ''}", style="yellow", markup=False)
    if status.state is not BatchState.COMPLETED:
        does = "goes on" if status.state is BatchState.PAUSED else "runs what did not complete once more"
        console.print(f"`ytray batch resume {batch_id}` {does}", markup=False, soft_wrap=True)


def tell_errors(errors: Sequence[ErrorGroup], batch_id: str) -> None:
    """Print groups of alike errors, each with where it happened and what to do about it."""
    for group in errors:
        console.print(
            Text.assemble(
                (f"{group.count:,}× ", "bold red"), (f"{group.error_type}: {group.message}", "red"), overflow="fold"
            )
        )
        lines = ", ".join(f"{example.line:,}" for example in group.examples[:_MOST_LINES_SHOWN])
        more = ", …" if group.count > min(len(group.examples), _MOST_LINES_SHOWN) else ""
        where = " ".join(part for part in (group.task_name, group.frame) if part)
        console.print(f"   line {lines}{more}; {where}", style="dim", markup=False, soft_wrap=True)
        console.print(f"   {group.suggestion}", markup=False, soft_wrap=True)
        console.print(
            f"   `ytray batch errors {batch_id} --replay {group.fingerprint}`, or --discard",
            style="dim",
            soft_wrap=True,
        )
