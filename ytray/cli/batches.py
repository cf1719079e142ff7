"""`ytray batch`: a file of many items, run as one: watched, paused, changed, mended and taken up again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.table import Column, Table
from rich.text import Text

from ytray.cli.backend import Backend, backend
from ytray.cli.batch_files import Force, check_fetchable, fetch
from ytray.cli.batch_running import check_report, follow, input_of, may_cost, read, reading, write_report
from ytray.cli.batch_screen import watch
from ytray.cli.batch_words import (
    line_of,
    retries_of,
    tell_bad_rows,
    tell_end,
    tell_errors,
    tell_prepared,
    tell_resumed,
    usd,
)
from ytray.cli.completion import task_names
from ytray.cli.file_names import check_folder
from ytray.cli.output import AsJson, Exit, complaints, console, guarded, print_json
from ytray.engine.base.model import DEFAULT_PRIORITY
from ytray.engine.base.names import did_you_mean
from ytray.engine.batch.model import (
    DEFAULT_TASK,
    BatchOptions,
    BatchState,
    BatchStatus,
    InvalidRows,
    ItemState,
    Prepared,
)
from ytray.errors import InvalidArguments

app = typer.Typer(help="Batches: a file of many items, run as one.", no_args_is_help=True)

_NEWEST = 20  # batches that `status` lists
_WRAPPED = ("name", "key", "")  # columns that give way on a narrow screen


def item_states(incomplete: str) -> list[str]:
    """The states of items, in the case that was begun with."""
    return [state if incomplete.isupper() else state.lower() for state in ItemState]


BatchId = Annotated[str, typer.Argument(metavar="BATCH_ID", help="The id that the submission printed.")]
Detach = Annotated[bool, typer.Option("--detach", help="Do not watch: print the id and end.")]
ReportFile = Annotated[
    Path | None, typer.Option(metavar="FILE.html|FILE.md", help="Write a report there at the end.", dir_okay=False)
]

Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Bring the finished files there at the end.", file_okay=False)
]


def run(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="CSV, TSV or JSON Lines; - reads JSON Lines from standard input.")
    ],
    task: Annotated[
        str, typer.Option(help="What is done for each row: any task or flow.", autocompletion=task_names)
    ] = DEFAULT_TASK,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    user: Annotated[str | None, typer.Option(help="Whose it is.")] = None,
    budget: Annotated[float | None, typer.Option(help="US dollars that all items may cost together.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Items in the making at once, at most.")] = None,
    priority: Annotated[int, typer.Option(help="0 to 9; 9 goes first.")] = DEFAULT_PRIORITY,
    start_at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it starts, as in 2026-12-01T06:00; local time unless it says."),
    ] = None,
    cron: Annotated[str | None, typer.Option(help="Run it again and again, as in '0 6 * * *' (UTC).")] = None,
    on_complete: Annotated[str | None, typer.Option(metavar="URL", help="Told when every item has completed.")] = None,
    on_failure: Annotated[
        str | None, typer.Option(metavar="URL", help="Told when it ends otherwise, or pauses by itself.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="The same key is the same batch.")] = None,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave wrong rows out, where one would refuse all.")
    ] = False,
    only_estimate: Annotated[
        bool, typer.Option("--estimate", help="Check the rows, tell what they would cost, and run nothing.")
    ] = False,
    detach: Detach = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before it costs money.")] = False,
    report: ReportFile = None,
    out: Out = None,
    force: Force = False,
    as_json: AsJson = False,
) -> Exit | None:
    """Check every row of a file, then run them all and watch until the end. Ctrl-C leaves the batch running."""
    options = _options(
        name=name,
        user_id=user,
        budget_usd=budget,
        concurrency=concurrency,
        priority=priority,
        start_at=_time(start_at),
        cron=cron,
        on_complete=on_complete,
        on_failure=on_failure,
        idempotency_key=key,
    )
    check_report(report)
    if out is not None:
        check_fetchable(task)
        check_folder(out)
    system = backend(context)
    with input_of(file) as source:
        preparation = read(system, source, file, task, options)
        prepared = preparation.prepared
        if not as_json:
            _tell_input(prepared, task)
        refused = _refusal(prepared, skip_invalid=skip_invalid, only_estimate=only_estimate, as_json=as_json)
        if refused is None and not yes and not may_cost(prepared, options):
            complaints.print("nothing was submitted")
            refused = Exit.FAILED
        if refused is not None:
            preparation.drop()
            return refused
        batch_id = preparation.commit(skip_invalid=skip_invalid)
    return follow(
        system, batch_id, detach=detach, report=report, out=out, force=force, as_json=as_json, prepared=prepared
    )


def status(
    context: typer.Context,
    batch_id: Annotated[
        str | None, typer.Argument(metavar="BATCH_ID", help="By default the newest are listed.")
    ] = None,
    watching: Annotated[bool, typer.Option("--watch", help="Show it until it has ended, or Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> Exit | None:
    """Show how a batch stands, or list the newest."""
    if watching and (batch_id is None or as_json):
        raise InvalidArguments("--watch takes a batch, and shows it to people: leave --json out")
    system = backend(context)
    if batch_id is None:
        _list(system, as_json)
    elif watching:
        return _watched(system, batch_id)
    else:
        _show(system.batch(batch_id), as_json)
    return None


def items(
    context: typer.Context,
    batch_id: BatchId,
    state: Annotated[str | None, typer.Option(help="A state, in any case.", autocompletion=item_states)] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
    cursor: Annotated[int | None, typer.Option(min=0, help="Go on where a listing before ended.")] = None,
    as_json: AsJson = False,
) -> Exit | None:
    """List a batch's items in the order of its input."""
    page = backend(context).batch_items(batch_id, _item_state(state), limit=limit, cursor=cursor)
    if as_json:
        print_json(page.model_dump(mode="json"))
        return None
    rows = [
        (
            item.number,
            item.line,
            item.key,
            f"{item.state} (done before)" if item.reused else item.state,
            f"{item.progress:.0f} %",
            usd(item.cost_usd) if item.cost_usd else "",
            item.job_id or "",
            " ".join((item.error or "").split())[:60],
        )
        for item in page.items
    ]
    _print_table(("item", "line", "key", "state", "progress", "cost", "job", ""), rows, "no such items")
    if page.next_cursor is not None:
        console.print(f"further ones: --cursor {page.next_cursor}", style="dim", soft_wrap=True)
    return None


def resume(
    context: typer.Context,
    batch_id: BatchId,
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="The input, edited: rows are compared by their keys.")
    ] = None,
    detach: Detach = False,
    report: ReportFile = None,
    out: Out = None,
    force: Force = False,
    as_json: AsJson = False,
) -> Exit | None:
    """Go on with a paused batch; run what failed or was cancelled again, and what was edited. What is done stays."""
    check_report(report)
    if out is not None:
        check_folder(out)
    system = backend(context)
    try:
        if file is None:
            resumed = system.resume_batch(batch_id, None)
        else:
            with input_of(file) as source, reading(file):
                resumed = system.resume_batch(batch_id, source)
    except InvalidRows as wrong:
        if as_json:
            raise
        tell_bad_rows(wrong.rows, wrong.count)
        complaints.print(f"{batch_id} was not changed: correct these rows", style="bold red", markup=False)
        return Exit.BAD_INPUT
    if not as_json:
        tell_resumed(resumed)
    return follow(system, batch_id, detach=detach, report=report, out=out, force=force, as_json=as_json)


def pause(context: typer.Context, batch_id: BatchId, as_json: AsJson = False) -> Exit | None:
    """Start no more of a batch's items; those that run go on."""
    _show(backend(context).pause_batch(batch_id), as_json)
    return None


def cancel(context: typer.Context, batch_id: BatchId, as_json: AsJson = False) -> Exit | None:
    """Cancel every item that has not ended. What completed stays, and the batch can be resumed."""
    _show(backend(context).cancel_batch(batch_id), as_json)
    return None


def change(
    context: typer.Context,
    batch_id: BatchId,
    priority: Annotated[int | None, typer.Option(help="0 to 9; 9 goes first.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Items in the making at once, at most.")] = None,
    budget: Annotated[float | None, typer.Option(help="US dollars that all items may cost together.")] = None,
    as_json: AsJson = False,
) -> Exit | None:
    """Change how a batch is run, also while it runs."""
    if priority is concurrency is budget is None:
        raise InvalidArguments("say what changes: --priority, --concurrency or --budget")
    system = backend(context)
    _show(system.change_batch(batch_id, priority=priority, concurrency=concurrency, budget_usd=budget), as_json)
    return None


def errors(
    context: typer.Context,
    batch_id: BatchId,
    replay: Annotated[
        str | None, typer.Option(metavar="FINGERPRINT", help="Run the items of this group once more.")
    ] = None,
    discard: Annotated[str | None, typer.Option(metavar="FINGERPRINT", help="Give the items of this group up.")] = None,
    as_json: AsJson = False,
) -> Exit | None:
    """Show what went wrong, alike errors together, or settle the items of one such group."""
    if replay is not None and discard is not None:
        raise InvalidArguments("--replay or --discard, not both")
    system = backend(context)
    if replay is not None:
        _tell_settled(batch_id, "replayed", system.replay_errors(batch_id, replay), as_json)
    elif discard is not None:
        _tell_settled(batch_id, "discarded", system.discard_errors(batch_id, discard), as_json)
    else:
        groups = system.batch_errors(batch_id)
        if as_json:
            print_json({"groups": [group.model_dump(mode="json") for group in groups]})
        elif groups:
            tell_errors(groups, batch_id)
        else:
            console.print("no item has failed", style="dim")
    return None


def report(
    context: typer.Context,
    batch_id: BatchId,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as one page without scripts.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as Markdown.")] = None,
    as_json: AsJson = False,
) -> Exit | None:
    """Tell what came of a batch: print it as Markdown, or write files."""
    system = backend(context)
    written = [write_report(system, batch_id, html, "html")] if html is not None else []
    written += [write_report(system, batch_id, markdown, "markdown")] if markdown is not None else []
    if as_json:
        print_json(
            {"files": list(map(str, written))} if written else {"markdown": system.batch_report(batch_id, "markdown")}
        )
    elif written:
        for path in written:
            console.print(str(path), soft_wrap=True, markup=False)
    else:
        console.print(system.batch_report(batch_id, "markdown"), soft_wrap=True, markup=False)
    return None


for _command in (run, status, items, fetch, resume, pause, cancel, change, errors, report):
    app.command()(guarded(_command))


def _options(**given: Any) -> BatchOptions:
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        return BatchOptions.model_validate(chosen)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False)[0]
        raise InvalidArguments(f"{'.'.join(map(str, error['loc'][:1]))}: {error['msg']}") from None


def _time(text: str | None) -> datetime | None:
    """A time as people write it; without a zone it is local."""
    if text is None:
        return None
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArguments(f"--start-at {text!r} is no time such as 2026-12-01T06:00 or …+01:00") from None
    return given.astimezone()


def _item_state(name: str | None) -> ItemState | None:
    if name is None:
        return None
    words = item_states("")
    if name.lower() not in words:
        raise InvalidArguments(f"there is no state {name!r} of an item{did_you_mean(name.lower(), words)}")
    return ItemState(name.upper())


def _tell_input(prepared: Prepared, task: str) -> None:
    if prepared.bad:
        tell_bad_rows(prepared.bad, prepared.bad_count)
    tell_prepared(prepared, task)


def _refusal(prepared: Prepared, *, skip_invalid: bool, only_estimate: bool, as_json: bool) -> Exit | None:
    """Why an input does not become a batch, as an exit code; None: it may."""
    is_wrong = prepared.bad_count > 0 and not skip_invalid
    if as_json and (is_wrong or only_estimate):
        print_json({"prepared": prepared.model_dump(mode="json")})
    if is_wrong and as_json:
        raise InvalidRows(prepared.bad, prepared.bad_count)
    if is_wrong:
        complaints.print(
            "nothing was submitted: correct these rows, or leave them out with --skip-invalid", style="bold red"
        )
        return Exit.BAD_INPUT
    return Exit.DONE if only_estimate else None


def _list(system: Backend, as_json: bool) -> None:
    page = system.batches(limit=_NEWEST)
    if as_json:
        print_json(page.model_dump(mode="json"))
        return
    rows = [
        (
            found.batch_id,
            found.name or found.task_name,
            found.state,
            f"{found.counts.completed:,}/{found.total:,}",
            f"{found.counts.failed:,}" if found.counts.failed else "",
            f"{found.cost_usd:.2f}",
        )
        for found in page.batches
    ]
    columns = ("batch", "name", "state", "done", "failed", "USD")
    _print_table(columns, rows, "no batches yet: `ytray batch run FILE` makes one")


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """A table whose ids are whole on a narrow screen, too: people copy them."""
    table = Table(
        *(Column(name, no_wrap=name not in _WRAPPED) for name in columns), box=None, header_style="bold", pad_edge=False
    )
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console.print(table if table.row_count else Text(empty, "dim"))


def _show(found: BatchStatus, as_json: bool) -> None:
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        console.print(f"{found.batch_id} {found.name or found.task_name}", style="bold", markup=False, soft_wrap=True)
        console.print(line_of(found), *retries_of(found), sep="\n", markup=False, soft_wrap=True)


def _watched(system: Backend, batch_id: str) -> Exit | None:
    try:
        found = watch(system, batch_id)
    except KeyboardInterrupt:
        return None
    tell_end(found, system.batch_errors(batch_id) if found.counts.failed else [])
    return None if found.state is BatchState.COMPLETED else Exit.FAILED


def _tell_settled(batch_id: str, what: str, number: int, as_json: bool) -> None:
    if as_json:
        print_json({"batch_id": batch_id, what: number})
    else:
        console.print(f"{number:,} {what}")
