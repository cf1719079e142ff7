"""Bringing the files of a batch's finished videos to a folder of the user's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from ytray.cli.backend import Backend, backend
from ytray.cli.output import AsJson, Exit, complaints, console, print_json
from ytray.cli.videos import save
from ytray.engine.batch.model import DEFAULT_TASK, Item, ItemState
from ytray.errors import InvalidArguments
from ytray.studio.model import FinishedVideo

_PAGE = 1000  # items
_LONGEST_NAME = 80  # characters


def fetch(
    context: typer.Context,
    batch_id: Annotated[str, typer.Argument(metavar="BATCH_ID", help="The id that the submission printed.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the finished files.", file_okay=False)] = Path(),
    as_json: AsJson = False,
) -> Exit | None:
    """Bring the files of the items that have completed to a folder. Prints the videos' paths."""
    paths = [str(path) for path in fetch_files(backend(context), batch_id, out)]
    if as_json:
        print_json({"batch_id": batch_id, "files": paths})
    else:
        for path in paths:
            console.print(path, soft_wrap=True, markup=False)
    return None


def check_fetchable(task: str) -> None:
    """Raises InvalidArguments for a task whose results are no videos."""
    if task not in (DEFAULT_TASK, "create_video"):
        raise InvalidArguments(
            f"task {task} makes no videos whose files could be brought: `ytray result JOB_ID` shows an item's result"
        )


def fetch_files(system: Backend, batch_id: str, out: Path) -> list[Path]:
    """Write the files of all completed items to a folder, named by the items' keys; returns the videos' paths.

    What an earlier call has brought stays as it is. Raises InvalidArguments for a batch of something else than videos.
    """
    check_fetchable(system.batch(batch_id).task_name)
    out.mkdir(parents=True, exist_ok=True)
    found: list[Path] = []
    taken: set[str] = set()
    cursor = None
    while True:
        page = system.batch_items(batch_id, ItemState.COMPLETED, limit=_PAGE, cursor=cursor)
        for item in page.items:
            name = _name(item)
            name = name if name not in taken else f"{name}-{item.number}"
            taken.add(name)
            found.append(_brought(system, item, name, out))
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


def _brought(system: Backend, item: Item, name: str, out: Path) -> Path:
    finished = FinishedVideo.model_validate(system.wait(item.job_id or "", None))
    video = (out / f"{name}.{finished.exports[0].format}").absolute()
    if not video.exists():  # it is written last, so the others are there, too
        complaints.print(f"{video}", markup=False, soft_wrap=True, style="dim")
        save(system, finished, name, out)
    return video


def _name(item: Item) -> str:
    """A file's name made of the key; a key that is a digest says nothing, so its item's number is put in front."""
    plain = re.sub(r"[^\w.-]+", "-", item.key).strip("-.")[:_LONGEST_NAME]
    return plain if not re.fullmatch(r"[0-9a-f]{24}", item.key) and plain else f"{item.number:05d}-{plain[:8]}"
