"""`ytray submit|status|history|cancel|result|jobs`."""

from __future__ import annotations

from typing import Annotated

import typer

from ytray.cli.backend import backend
from ytray.cli.completion import queue_names, state_words, states, task_names
from ytray.cli.output import AsJson, Exit, console, guarded, parse_json, print_json, print_table
from ytray.engine.base.model import DEFAULT_PRIORITY, JobPage, JobState, JobStatus
from ytray.engine.base.names import did_you_mean
from ytray.errors import InvalidArguments

_PAGE = 1000  # jobs: the most that one page of a listing has

JobId = Annotated[str, typer.Argument(metavar="JOB_ID", help="The id that the submission printed.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (submit, status, history, cancel, result, jobs):
        app.command()(guarded(command))


def submit(
    context: typer.Context,
    task: Annotated[str, typer.Argument(help="Name of the task.", autocompletion=task_names)],
    args: Annotated[str, typer.Option(help="The task's arguments, a JSON object.")] = "{}",
    queue: Annotated[
        str | None, typer.Option(help="default, generation, media or batch.", autocompletion=queue_names)
    ] = None,
    priority: Annotated[int, typer.Option(help="0 to 9; 9 goes first.")] = DEFAULT_PRIORITY,
    delay: Annotated[float, typer.Option(help="Seconds to wait before it is queued.")] = 0.0,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key is the same job.")] = None,
    user: Annotated[str | None, typer.Option(help="Whose job it is.")] = None,
    metadata: Annotated[str, typer.Option(help="A JSON object kept with the job.")] = "{}",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and print the result.")] = False,
    as_json: AsJson = False,
) -> Exit | None:
    """Submit a job and print its id. The job is durable once this returns."""
    arguments, details = parse_json(args, "--args"), parse_json(metadata, "--metadata")
    if not isinstance(arguments, dict) or not isinstance(details, dict):
        raise InvalidArguments('--args and --metadata take a JSON object, as in \'{"prompt": "cats"}\'')
    system = backend(context)
    job_id = system.submit(
        task,
        arguments,
        queue=queue,
        priority=priority,
        delay=delay,
        idempotency_key=idempotency_key,
        user_id=user,
        metadata=details,
    )
    if wait:
        print_json(system.wait(job_id, None))
    elif as_json:
        print_json({"job_id": job_id, "current_state": system.status(job_id).current_state})
    else:
        console.print(job_id, markup=False)
    return None


def status(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> Exit | None:
    """Show everything that is known of a job now."""
    found = backend(context).status(job_id)
    fields = found.model_dump(mode="json")
    if as_json:
        print_json(fields)
    else:
        print_table(("field", "value"), [(k, v) for k, v in fields.items() if v not in (None, {}, "")], "")
    return None


def history(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> Exit | None:
    """Show every move of a job, with its time and why."""
    transitions = [entry.model_dump(mode="json") for entry in backend(context).history(job_id)]
    if as_json:
        print_json({"job_id": job_id, "transitions": transitions})
    else:
        rows = [
            (t["at"], f"{t['from_state']} → {t['to_state']}", ", ".join(f"{k}={v}" for k, v in t["metadata"].items()))
            for t in transitions
        ]
        print_table(("time (UTC)", "move", "why"), rows, "no moves yet: the job is PENDING")
    return None


def cancel(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> Exit | None:
    """Cancel a job that has not ended; a running task's processes are stopped."""
    backend(context).cancel(job_id)
    if as_json:
        print_json({"job_id": job_id, "current_state": "CANCELLED"})
    else:
        console.print(f"{job_id} is cancelled", markup=False)
    return None


def result(
    context: typer.Context,
    job_id: JobId,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait for the job's end.")] = None,
    as_json: AsJson = False,  # noqa: ARG001  # a result is JSON anyway
) -> Exit | None:
    """Wait for a job's end and print its result as JSON."""
    print_json(backend(context).wait(job_id, timeout))
    return None


def jobs(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="A state, in any case.", autocompletion=states)] = None,
    task: Annotated[str | None, typer.Option(help="Only of this task.", autocompletion=task_names)] = None,
    queue: Annotated[str | None, typer.Option(help="Only of this queue.", autocompletion=queue_names)] = None,
    user: Annotated[str | None, typer.Option(help="Only of this user.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Go on where a listing before ended.")] = None,
    as_json: AsJson = False,
) -> Exit | None:
    """List the newest jobs."""
    found = _listed(context, _state(state), task, queue, user, limit, cursor)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return None
    rows = [
        (
            j.job_id,
            j.task_name,
            j.current_state,
            f"{j.progress:.0f} %",
            f"{j.created_at:%Y-%m-%d %H:%M:%S}",
            (j.error or j.progress_message)[:60],
        )
        for j in found.jobs
    ]
    print_table(("job", "task", "state", "progress", "created (UTC)", ""), rows, "no such jobs")
    if found.next_cursor is not None:
        console.print(f"older ones: --cursor {found.next_cursor}", style="dim", markup=False, soft_wrap=True)
    return None


def _state(name: str | None) -> JobState | None:
    if name is None:
        return None
    words = state_words()
    if name.lower() not in words:
        raise InvalidArguments(f"there is no state {name!r}{did_you_mean(name.lower(), words)}")
    return JobState.EXECUTING if name.lower() == "running" else JobState(name.upper())


def _listed(
    context: typer.Context,
    state: JobState | None,
    task: str | None,
    queue: str | None,
    user: str | None,
    limit: int,
    cursor: str | None,
) -> JobPage:
    """So many jobs over as many pages as it takes; a filter that matches little gives short ones."""
    if not 1 <= limit <= 10_000:
        raise InvalidArguments(f"--limit is 1 to 10,000, not {limit}")
    system = backend(context)
    found: list[JobStatus] = []
    while True:
        most = min(_PAGE, limit - len(found))
        page = system.jobs(state, task_name=task, queue=queue, user_id=user, limit=most, cursor=cursor)
        found += page.jobs
        cursor = page.next_cursor
        if cursor is None or len(found) >= limit:
            return JobPage(jobs=found, next_cursor=cursor)
