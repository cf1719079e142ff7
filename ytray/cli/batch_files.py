"""Bringing the files of a batch's finished videos to a folder of the user's."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from ytray.cli.backend import Backend, backend
from ytray.cli.file_names import alone_in, check_folder, folded, names_in, numbered
from ytray.cli.output import AsJson, Exit, complaints, console, print_json
from ytray.cli.videos import TIMELINE_ENDING, files_of, save
from ytray.engine.batch.model import DEFAULT_TASK, Item, ItemState
from ytray.errors import InvalidArguments
from ytray.studio.film_names import plain_name
from ytray.studio.model import FinishedVideo

Force = Annotated[bool, typer.Option("--force", help="Replace other films of the same names.")]

_PAGE = 1000  # items


def fetch(
    context: typer.Context,
    batch_id: Annotated[str, typer.Argument(metavar="BATCH_ID", help="The id that the submission printed.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the finished files.", file_okay=False)] = Path(),
    force: Force = False,
    as_json: AsJson = False,
) -> Exit | None:
    """Bring the files of the items that have completed to a folder. Prints the videos' paths."""
    paths = [str(path) for path in fetch_files(backend(context), batch_id, out, force=force)]
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


def fetch_files(system: Backend, batch_id: str, out: Path, *, force: bool = False) -> list[Path]:
    """Write the files of all completed items to a folder, named by the items' keys; returns the videos' paths.

    What an earlier call has brought stays as it is. So do other films of the same name: the item's then gets a number
    behind its own, unless `force` replaces them. Raises InvalidArguments for a batch of something else than videos.
    """
    check_fetchable(system.batch(batch_id).task_name)
    check_folder(out)
    found: list[Path] = []
    names = _Names(system, out, force=force)
    cursor = None
    while True:
        page = system.batch_items(batch_id, ItemState.COMPLETED, limit=_PAGE, cursor=cursor)
        for item in page.items:
            with alone_in(out):
                found.append(_brought(system, item, names, out))
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


def _brought(system: Backend, item: Item, names: _Names, out: Path) -> Path:
    finished = FinishedVideo.model_validate(system.wait(item.job_id or "", None))
    name, is_there = names.of(finished, _name(item))
    video = (out / f"{name}{files_of(finished)[-1][1]}").absolute()
    if not is_there or not video.exists():  # it is written last, so the others are there, too
        complaints.print(f"{video}", markup=False, soft_wrap=True, style="dim")
        save(system, finished, name, out)
    return video


class _Names:
    """The names of a batch's films in a folder: each its own, and none that of another film which lies there."""

    def __init__(self, system: Backend, out: Path, *, force: bool) -> None:
        self._system, self._out, self._force = system, out, force
        self._there = names_in(out)
        self._given: set[str] = set()

    def of(self, finished: FinishedVideo, wanted: str) -> tuple[str, bool]:
        """The name of a film, as near as can be to the one that is wanted, and whether it lies there already."""
        is_there = False

        def fits(name: str) -> bool:
            nonlocal is_there
            if folded(name) in self._given:
                return False
            is_there = self._is_taken(finished, name) and self._is_that_film(finished, name)
            return is_there or self._force or not self._is_taken(finished, name)

        name = numbered(wanted, fits)
        self._given.add(folded(name))
        return name, is_there

    def _is_taken(self, finished: FinishedVideo, name: str) -> bool:
        files = [f"{name}{ending}" for _, ending in files_of(finished)]
        return any(folded(file) in self._there or (self._out / file).exists() for file in files)

    def _is_that_film(self, finished: FinishedVideo, name: str) -> bool:
        """Whether the files of a name are those of a film: its timeline tells, which names what it was made of."""
        beside = self._out / f"{name}{TIMELINE_ENDING}"
        if not beside.is_file():
            return False
        with tempfile.TemporaryDirectory(prefix="ytray-") as folder:
            own = Path(folder, "timeline.json")
            self._system.fetch(finished.video.timeline, own)
            return own.read_bytes() == beside.read_bytes()


def _name(item: Item) -> str:
    """A file's name made of the key; a key that is a digest says nothing, so its item's number is put in front."""
    if re.fullmatch(r"[0-9a-f]{24}", item.key):
        return f"{item.number:05d}-{item.key[:8]}"
    return plain_name(item.key, signs="._")
