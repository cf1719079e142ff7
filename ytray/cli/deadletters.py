"""`ytray dlq`."""

from __future__ import annotations

from typing import Annotated

import typer

from ytray.cli.backend import backend
from ytray.cli.output import AsJson, Exit, console, guarded, print_json, print_table
from ytray.errors import InvalidArguments, UnknownJob

app = typer.Typer(help="The dead-letter queue: jobs that failed for good.", no_args_is_help=True)

_TOLD_ONCE = {"traceback", "task_id", "error_message"}  # told below, or under another name

JobId = Annotated[str, typer.Argument(metavar="JOB_ID")]
JobIds = Annotated[list[str] | None, typer.Argument(metavar="JOB_ID…", help="One or many.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


def list_all(context: typer.Context, as_json: AsJson = False) -> Exit | None:
    """List the jobs in it, the one that failed first first."""
    letters = list(backend(context).iter_dead_letters())
    if as_json:
        print_json({"dead_letters": [letter.model_dump(mode="json") for letter in letters]})
    else:
        rows = [
            (x.job_id, x.task_name, f"{x.failed_at:%Y-%m-%d %H:%M:%S}", x.retry_count, x.error[:80]) for x in letters
        ]
        print_table(("job", "task", "failed (UTC)", "retries", "error"), rows, "the dead-letter queue is empty")
    return None


def show(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> Exit | None:
    """Show one of them, with its arguments and traceback."""
    letter = backend(context).dead_letter(job_id)
    if as_json:
        print_json(letter.model_dump(mode="json"))
    else:
        for name, value in letter.model_dump(mode="json", exclude=_TOLD_ONCE).items():
            console.print(f"{name}: {value}", markup=False)
        console.print(letter.traceback, markup=False)
    return None


def retry(context: typer.Context, job_ids: JobIds = None, every: All = False, as_json: AsJson = False) -> Exit | None:
    """Run jobs once more, with all their retries restored."""
    chosen = _chosen(job_ids, every)
    system = backend(context)
    _told(chosen, system.replay_all() if chosen is None else system.replay(chosen), "replayed", as_json)
    return None


def remove(context: typer.Context, job_ids: JobIds = None, every: All = False, as_json: AsJson = False) -> Exit | None:
    """Take jobs out without running them; they stay FAILED."""
    chosen = _chosen(job_ids, every)
    system = backend(context)
    _told(chosen, system.discard_all() if chosen is None else system.discard(chosen), "removed", as_json)
    return None


app.command("list")(guarded(list_all))
app.command("show")(guarded(show))
app.command("retry")(guarded(retry))
app.command("remove")(guarded(remove))


def _chosen(job_ids: list[str] | None, every: bool) -> list[str] | None:
    """The jobs that were named; None for all."""
    if bool(job_ids) == every:
        raise InvalidArguments("name the jobs, or say --all")
    return None if every else job_ids


def _told(chosen: list[str] | None, settled: list[str], what: str, as_json: bool) -> None:
    missing = [job_id for job_id in chosen or () if job_id not in settled]
    if as_json and (settled or not missing):
        print_json({what: settled})
    elif settled or not missing:
        console.print(f"{len(settled)} {what}")
    if missing:
        raise UnknownJob(f"not in the dead-letter queue, or not to be read: {', '.join(missing)}")
