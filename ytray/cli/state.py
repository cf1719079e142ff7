"""`ytray backup` and `ytray restore`: the state of one system in a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ytray.cli.output import AsJson, Exit, complaints, console, guarded, print_json
from ytray.errors import InvalidArguments

File = Annotated[Path, typer.Argument(metavar="FILE")]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; - for stdout.")], as_json: AsJson = False
) -> Exit | None:
    """Write all that the system knows into a file, as it is at one moment; jobs go on meanwhile. Not the artifacts."""
    from ytray.engine.state.backup import backup_to_file, write_backup
    from ytray.engine.state.connection import store

    if str(file) == "-":
        written = write_backup(store(), sys.stdout.buffer)
        sys.stdout.buffer.flush()
    elif file.is_dir() or not file.absolute().parent.is_dir():
        raise InvalidArguments(f"{file} cannot be written: it is a folder, or its folder does not exist")
    else:
        written = backup_to_file(store(), file)
    if as_json and str(file) != "-":
        print_json({"file": str(file), "keys": written.keys, "size_bytes": written.size_bytes})
    else:
        where = complaints if str(file) == "-" else console
        where.print(
            f"{written.keys:,} keys, {written.size_bytes / 1e6:,.1f} MB in {written.seconds:.1f} s; writers were held "
            f"up for {written.paused_ms:.0f} ms",
            markup=False,
        )
    return None


def restore(
    file: File,
    replace: Annotated[bool, typer.Option("--replace", help="Delete what the system has stored.")] = False,
    as_json: AsJson = False,
) -> Exit | None:
    """Put a backup into the system of YTRAY_REDIS_URL and YTRAY_NAMESPACE, which must be empty and should not run."""
    from ytray.engine.state.backup import read_header
    from ytray.engine.state.backup import restore as put_back
    from ytray.engine.state.store import Store
    from ytray.settings import settings
    from ytray.system.joining import join

    if not file.is_file():
        raise InvalidArguments(f"there is no file {file}")
    header = read_header(file)
    joined = join(ray=False)
    try:
        keys = put_back(Store(joined.redis_url, settings().namespace), file, replace=replace)
    finally:
        joined.leave()
    if as_json:
        print_json({"keys": keys, "namespace": settings().namespace, "taken_at": header.taken_at})
    else:
        console.print(
            f"{keys:,} keys of {header.namespace!r} as of {header.taken_at} are in {settings().namespace!r} now. What "
            "was done and paid since then is not known here: docs/redis.md says what to look after",
            markup=False,
        )
    return None


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (backup, restore):
        app.command()(guarded(command))
