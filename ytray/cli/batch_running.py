"""A batch from its input to its end: the reading, the question whether it may cost, the watching, the report."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import typer
from rich.text import Text

from ytray.cli.backend import Backend, Preparing
from ytray.cli.batch_files import fetch_files
from ytray.cli.batch_screen import watch
from ytray.cli.batch_words import is_over, tell_end, usd
from ytray.cli.output import Exit, complaints, console, print_json
from ytray.engine.batch.model import BatchOptions, BatchState, BatchStatus, ErrorGroup, Prepared
from ytray.errors import InvalidArguments
from ytray.full_disk import telling_of_full_disk

Form = Literal["markdown", "html"]

_STDIN = "-"
_FORMS: dict[str, Form] = {".html": "html", ".htm": "html", ".md": "markdown"}


@contextmanager
def input_of(file: str) -> Iterator[Path]:
    """The input's path. Standard input is kept in a file meanwhile: over HTTP an input is read twice."""
    if file != _STDIN:
        yield Path(file)
        return
    with tempfile.TemporaryDirectory(prefix="ytray-") as folder:
        kept = Path(folder, "standard-input.jsonl")
        with telling_of_full_disk(kept), kept.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        yield kept


@contextmanager
def reading(file: str) -> Iterator[Callable[[int], None]]:
    """Show that an input is read; gives what wants to hear how many rows were."""
    name = "standard input" if file == _STDIN else Path(file).name
    if not complaints.is_terminal:
        yield lambda _: None
        return
    with complaints.status(Text(f"reading {name}")) as shown:
        yield lambda rows: shown.update(Text(f"reading {name}: {rows:,} rows"))


def read(system: Backend, source: Path, file: str, task: str, options: BatchOptions) -> Preparing:
    """Have an input read and checked, and show it."""
    with reading(file) as told:
        return system.prepare_batch(source, task=task, options=options, told=told)


def may_cost(prepared: Prepared, options: BatchOptions) -> bool:
    """Ask once, at a terminal, when a batch without a budget would cost money; True: go on."""
    most = max(prepared.likely_usd or 0.0, prepared.most_usd or 0.0)
    if not most or options.budget_usd is not None or not sys.stdin.isatty():
        return True
    return typer.confirm(f"This may cost up to {usd(most)}. Go on?", err=True)


def check_report(file: Path | None) -> None:
    """Raises InvalidArguments for a report that could not be written at the end."""
    if file is None:
        return
    if file.suffix.lower() not in _FORMS:
        raise InvalidArguments(f"--report {file}: a report is a .html or a .md file")
    if not file.absolute().parent.is_dir():
        raise InvalidArguments(f"--report {file}: there is no folder {file.absolute().parent}")


def write_report(system: Backend, batch_id: str, file: Path, form: Form | None = None) -> Path:
    """Write a batch's report, by default in the form that the file's name says; returns its whole path."""
    report = system.batch_report(batch_id, form or _FORMS[file.suffix.lower()])
    beside = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with telling_of_full_disk(file):
            beside.write_text(report, "utf-8")
            beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
    return file.absolute()


def follow(
    system: Backend,
    batch_id: str,
    *,
    detach: bool,
    report: Path | None,
    out: Path | None,
    force: bool,
    as_json: bool,
    prepared: Prepared | None = None,
) -> Exit | None:
    """Watch a batch until nothing more happens by itself, tell what came of it, write the report, bring the files.

    One that is to start later is not waited for. Ctrl-C leaves the batch running.
    """
    status = system.batch(batch_id)
    if not detach and status.state is not BatchState.SCHEDULED:
        try:
            status = _awaited(system, batch_id) if as_json else watch(system, batch_id)
        except KeyboardInterrupt:
            _tell_left(system, batch_id)
            return Exit.FAILED
    has_run = is_over(status)
    errors = system.batch_errors(batch_id) if has_run and status.counts.failed else []
    written = write_report(system, batch_id, report) if has_run and report is not None else None
    files = fetch_files(system, batch_id, out, force=force) if has_run and out is not None else None
    if as_json:
        print_json(_as_json(status, errors, written, prepared, files))
    elif has_run:
        tell_end(status, errors)
        if files is not None:
            console.print(f"{len(files)} videos in {out}", soft_wrap=True, markup=False)
        if written is not None:
            console.print(str(written), soft_wrap=True, markup=False)
    else:
        _tell_submitted(system, status)
    return Exit.FAILED if has_run and status.state is not BatchState.COMPLETED else None


def _awaited(system: Backend, batch_id: str) -> BatchStatus:
    while not is_over(status := system.batch(batch_id)):
        time.sleep(system.pace)
    return status


def _as_json(
    status: BatchStatus,
    errors: list[ErrorGroup],
    written: Path | None,
    prepared: Prepared | None,
    files: list[Path] | None,
) -> dict[str, object]:
    return {
        "batch_id": status.batch_id,
        "batch": status.model_dump(mode="json"),
        "errors": [group.model_dump(mode="json") for group in errors],
        "report": None if written is None else str(written),
        **({} if files is None else {"files": [str(file) for file in files]}),
        **({} if prepared is None else {"prepared": prepared.model_dump(mode="json")}),
    }


def _tell_submitted(system: Backend, status: BatchStatus) -> None:
    when = f", starts at {status.start_at:%Y-%m-%d %H:%M:%S} UTC" if status.start_at is not None else ""
    again = f", again and again ({status.cron})" if status.cron is not None else ""
    console.print(status.batch_id, markup=False)
    complaints.print(f"{status.state}{when}{again}", style="dim", markup=False, soft_wrap=True)
    _tell_left(system, status.batch_id)


def _tell_left(system: Backend, batch_id: str) -> None:
    """Tell what becomes of a batch that is not watched any longer."""
    if system.stays:
        told = (
            f"batch {batch_id} goes on: `ytray batch status {batch_id} --watch` shows it again, "
            f"`ytray batch cancel {batch_id}` stops it"
        )
    else:
        told = (
            f"batch {batch_id} is kept, and rests: the system ends with this command, which had to start it. "
            f"`ytray up` goes on with it, and so does `ytray batch resume {batch_id}`"
        )
    complaints.print(told, markup=False, soft_wrap=True)
