"""`ytray dlq`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ytray.cli.output import AsJson, Exit, console, guarded, print_json, print_table
from ytray.errors import InvalidArguments

app = typer.Typer(help="The dead-letter queue: jobs that failed for good.", no_args_is_help=True)

JobIds = Annotated[list[str] | None, typer.Argument(metavar="JOB_ID…", help="One or many.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


def list_all(as_json: AsJson = False) -> Exit | None:
    """List the jobs in it, the one that failed first first."""
    letters = _dlq().list_all()
    if as_json:
        print_json({"dead_letters": [letter.model_dump(mode="json") for letter in letters]})
    else:
        rows = [
            (x.job_id, x.task_name, f"{x.failed_at:%Y-%m-%d %H:%M:%S}", x.retry_count, x.error[:80]) for x in letters
        ]
        print_table(("job", "task", "failed (UTC)", "retries", "error"), rows, "the dead-letter queue is empty")
    return None


def show(job_id: Annotated[str, typer.Argument(metavar="JOB_ID")], as_json: AsJson = False) -> Exit | None:
    """Show one of them, with its arguments and traceback."""
    letter = _dlq().show(job_id)
    if as_json:
        print_json(letter.model_dump(mode="json"))
    else:
        for name, value in letter.model_dump(mode="json", exclude={"traceback"}).items():
            console.print(f"{name}: {value}", markup=False)
        console.print(letter.traceback, markup=False)
    return None


def retry(job_ids: JobIds = None, every: All = False, as_json: AsJson = False) -> Exit | None:
    """Run jobs once more, with all their retries restored."""
    ids = _chosen(job_ids, every)
    for job_id in ids:
        _dlq().retry_task(job_id)
    _told(ids, "replayed", as_json)
    return None


def remove(job_ids: JobIds = None, every: All = False, as_json: AsJson = False) -> Exit | None:
    """Take jobs out without running them; they stay FAILED."""
    ids = _chosen(job_ids, every)
    for job_id in ids:
        _dlq().remove(job_id)
    _told(ids, "removed", as_json)
    return None


app.command("list")(guarded(list_all))
app.command("show")(guarded(show))
app.command("retry")(guarded(retry))
app.command("remove")(guarded(remove))


def _chosen(job_ids: list[str] | None, every: bool) -> list[str]:
    if bool(job_ids) == every:
        raise InvalidArguments("name the jobs, or say --all")
    return [letter.job_id for letter in _dlq().list_all()] if every else list(job_ids or ())


def _told(ids: list[str], what: str, as_json: bool) -> None:
    if as_json:
        print_json({what: ids})
    else:
        console.print(f"{len(ids)} {what}")


def _dlq() -> Any:
    from ytray.engine.connection import open_store
    from ytray.engine.dlq import dlq

    open_store()
    return dlq
