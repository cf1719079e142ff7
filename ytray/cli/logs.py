"""`ytray logs`."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ytray.cli.backend import Backend, backend
from ytray.cli.jobs import JobId
from ytray.cli.output import AsJson, Exit, console, guarded, print_json
from ytray.cli.terminal import harmless_json

if TYPE_CHECKING:
    from ytray.engine.state.joblog import LogLine

_EVERY = 0.5  # seconds between looks while following: also longer than a line is underway to the log

_STYLES = {"WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red", "DEBUG": "dim"}


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(guarded(logs))


def logs(
    context: typer.Context,
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    as_json: AsJson = False,
) -> Exit | None:
    """Show what a job's attempts logged and printed. With --follow and --json: one line of JSON for each line."""
    system = backend(context)
    if follow:
        _follow(system, job_id, as_json)
        return None
    page = system.logs(job_id, 0)
    if as_json:
        print_json({"job_id": job_id, **page.model_dump(mode="json")})
    elif page.lines:
        _print(page.lines)
    else:
        console.print("the job has logged nothing", style="dim")
    return None


def _follow(system: Backend, job_id: str, as_json: bool) -> None:
    after, ended_before = 0, False
    while True:
        ended = system.status(job_id).current_state.has_ended
        page = system.logs(job_id, after)
        after = page.next
        if as_json:
            sys.stdout.writelines(
                harmless_json(json.dumps(line.model_dump(mode="json"), ensure_ascii=False)) + "\n"
                for line in page.lines
            )
            sys.stdout.flush()
        else:
            _print(page.lines)
        # Twice, since a job's last lines come a moment after its end.
        if ended and ended_before and not page.lines:
            return
        ended_before = ended
        time.sleep(_EVERY)


def _print(lines: list[LogLine]) -> None:
    for line in lines:
        head = f"{line.at:%H:%M:%S}.{line.at.microsecond // 1000:03} #{line.attempt} "
        text = Text.assemble((head, "dim"), (f"{line.level:<8}", _STYLES.get(line.level, "")))
        text.append_text(Text.from_ansi(line.message))  # colours stay; what would move the cursor goes
        console.print(text, soft_wrap=True)
