"""`ytray submit|status|history|cancel|result|jobs`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ytray.cli.output import AsJson, Exit, console, guarded, parse_json, print_json, print_table

JobId = Annotated[str, typer.Argument(metavar="JOB_ID", help="The id that the submission printed.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (submit, status, history, cancel, result, jobs):
        app.command()(guarded(command))


def submit(
    task: Annotated[str, typer.Argument(help="Name of the task.")],
    args: Annotated[str, typer.Option(help="The task's arguments, a JSON object.")] = "{}",
    queue: Annotated[str | None, typer.Option(help="default, generation, media or batch.")] = None,
    priority: Annotated[int, typer.Option(help="0 to 9; 9 goes first.")] = 4,
    delay: Annotated[float, typer.Option(help="Seconds to wait before it is queued.")] = 0.0,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key is the same job.")] = None,
    user: Annotated[str | None, typer.Option(help="Whose job it is.")] = None,
    metadata: Annotated[str, typer.Option(help="A JSON object kept with the job.")] = "{}",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and print the result.")] = False,
    as_json: AsJson = False,
) -> Exit | None:
    """Submit a job and print its id. The job is durable once this returns."""
    from ytray.engine.task import find
    from ytray.errors import InvalidArguments

    arguments, details = parse_json(args, "--args"), parse_json(metadata, "--metadata")
    if not isinstance(arguments, dict) or not isinstance(details, dict):
        raise InvalidArguments('--args and --metadata take a JSON object, as in \'{"prompt": "cats"}\'')
    chosen = find(task).options(
        queue=queue,
        priority=priority,
        delay=delay,
        idempotency_key=idempotency_key,
        user_id=user,
        metadata=details,
    )
    job = chosen.delay(**arguments)
    if wait:
        value = _plain(job.get())
        print_json(value)
    elif as_json:
        print_json({"job_id": job.id, "current_state": job.status().current_state})
    else:
        console.print(job.id, markup=False)
    return None


def status(job_id: JobId, as_json: AsJson = False) -> Exit | None:
    """Show everything that is known of a job now."""
    found = _tracker().get_status(job_id)
    fields = found.model_dump(mode="json")
    if as_json:
        print_json(fields)
    else:
        print_table(("field", "value"), [(k, v) for k, v in fields.items() if v not in (None, {}, "")], "")
    return None


def history(job_id: JobId, as_json: AsJson = False) -> Exit | None:
    """Show every move of a job, with its time and why."""
    transitions = [entry.model_dump(mode="json") for entry in _tracker().get_history(job_id)]
    if as_json:
        print_json({"job_id": job_id, "transitions": transitions})
    else:
        rows = [
            (t["at"], f"{t['from_state']} → {t['to_state']}", ", ".join(f"{k}={v}" for k, v in t["metadata"].items()))
            for t in transitions
        ]
        print_table(("time (UTC)", "move", "why"), rows, "no moves yet: the job is PENDING")
    return None


def cancel(job_id: JobId, as_json: AsJson = False) -> Exit | None:
    """Cancel a job that has not ended; a running task's processes are stopped."""
    _tracker().cancel(job_id)
    if as_json:
        print_json({"job_id": job_id, "current_state": "CANCELLED"})
    else:
        console.print(f"{job_id} is cancelled", markup=False)
    return None


def result(
    job_id: JobId,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait for the job's end.")] = None,
    as_json: AsJson = False,  # noqa: ARG001  # a result is JSON anyway
) -> Exit | None:
    """Wait for a job's end and print its result as JSON."""
    from ytray.engine.connection import open_store
    from ytray.engine.job import Job

    open_store()
    print_json(_plain(Job[Any](job_id).get(timeout)))
    return None


def jobs(
    state: Annotated[str | None, typer.Option(help="A state, in any case.")] = None,
    task: Annotated[str | None, typer.Option(help="Only of this task.")] = None,
    queue: Annotated[str | None, typer.Option(help="Only of this queue.")] = None,
    user: Annotated[str | None, typer.Option(help="Only of this user.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 20,
    as_json: AsJson = False,
) -> Exit | None:
    """List the newest jobs."""
    from ytray.engine.model import JobState
    from ytray.engine.task import did_you_mean
    from ytray.errors import InvalidArguments

    if state is not None and state.upper() not in JobState.__members__:
        raise InvalidArguments(f"there is no state {state!r}{did_you_mean(state.upper(), JobState.__members__)}")
    wanted = None if state is None else JobState(state.upper())
    found = _tracker().list_jobs(wanted, task_name=task, queue=queue, user_id=user, limit=limit)
    if as_json:
        print_json({"jobs": [job.model_dump(mode="json") for job in found]})
    else:
        rows = [
            (
                j.job_id,
                j.task_name,
                j.current_state,
                f"{j.progress:.0f} %",
                f"{j.created_at:%Y-%m-%d %H:%M:%S}",
                (j.error or j.progress_message)[:60],
            )
            for j in found
        ]
        print_table(("job", "task", "state", "progress", "created (UTC)", ""), rows, "no such jobs")
    return None


def _tracker() -> Any:
    from ytray.engine.connection import open_store
    from ytray.engine.tracking import job_tracker

    open_store()
    return job_tracker


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
