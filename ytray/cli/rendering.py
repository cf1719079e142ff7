"""`ytray render`: an edited timeline to a video."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.text import Text

from ytray.artifacts import ArtifactStore
from ytray.cli.backend import Backend, Reach, backend
from ytray.cli.file_names import LONGEST, alone_in, check_target, free_file
from ytray.cli.output import AsJson, Exit, complaints, console, drawn_anew, guarded, print_json
from ytray.cli.videos import bar, told_of, waiting
from ytray.errors import InvalidArguments, PermanentError
from ytray.studio.model import Video
from ytray.studio.render.timeline import Timeline
from ytray.text_files import read_text


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(guarded(render))


def render(
    context: typer.Context,
    timeline: Annotated[
        Path, typer.Argument(help="The timeline.json of a video, edited.", exists=True, dir_okay=False)
    ],
    out: Annotated[
        Path, typer.Option(help="The file to write; with a number behind its name where there is one.")
    ] = Path("video.mp4"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
    as_json: AsJson = False,
) -> Exit | None:
    """Render an edited timeline; what was not changed is not rendered again. Prints the file's path last.

    Its pictures, clips, narrations and music may be files beside it.
    """
    from ytray.studio.render.given import (
        check_given,
        cut_off,
    )  # reads pictures, which every other command starts without

    target = out.absolute()
    check_target(target)
    given = _read(timeline)
    folder = timeline.absolute().parent
    try:
        if not (context.find_object(Reach) or Reach()).url:  # of another system the files are there
            # Before anything else is loaded or started: whoever waits is told of a damaged file at once.
            check_given(given, lambda file: _local(file, folder))
            for warning in cut_off(given, lambda file: _local(file, folder)):
                complaints.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
        system = backend(context)
        adopted = _adopted(given, lambda file: system.adopt(file, folder))
    except PermanentError as wrong:
        raise InvalidArguments(f"{timeline} cannot be rendered: {wrong}") from None
    job_id = system.submit(
        "render_timeline",
        {"timeline": adopted.model_dump(mode="json")},
        queue=None,
        priority=None,
        delay=None,
        idempotency_key=None,
        user_id=None,
        metadata={},
    )
    if not as_json:
        console.print(f"job {job_id}", style="dim", markup=False)
        _watch(system, job_id)
    made = Video.model_validate(system.wait(job_id, None))
    with alone_in(target.parent):
        target = target if force else free_file(target)
        system.fetch(made.uri, target)
    if as_json:
        print_json({"job_id": job_id, "file": str(target), "result": made.model_dump(mode="json")})
    else:
        console.print(told_of(made, system.children(job_id)), style="dim", soft_wrap=True, markup=False)
        console.print(str(target), soft_wrap=True, markup=False)
    return None


def _read(file: Path) -> Timeline:
    try:
        return Timeline.model_validate_json(read_text(file))
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part + 1 if isinstance(part, int) else part) for part in first["loc"])  # scenes from 1
        reason = first["msg"].removeprefix("Value error, ")
        raise InvalidArguments(f"{file} is no timeline: {place + ': ' if place else ''}{reason}") from None
    except ValueError as wrong:
        raise InvalidArguments(f"{file} is no timeline: {wrong}") from None


def _local(file: str, folder: Path) -> tuple[Path, str] | None:
    """Where a file lies that a timeline in `folder` names, and what to call it; None for one in a store elsewhere."""
    store = ArtifactStore()
    if not store.holds(file):
        return folder / file, file
    return (store.fetch(file, folder), Path(file).name) if store.is_folder else None


def _adopted(timeline: Timeline, adopt: Callable[[str], str]) -> Timeline:
    """The timeline with the user's own pictures, clips, narrations and music kept where its nodes find them."""
    names = dict(timeline.names)

    def taken_in(file: str) -> str:
        uri = adopt(file)
        if uri != file:
            names[uri] = Path(file).name.encode()[:LONGEST].decode(errors="ignore")
        return uri

    scenes = [
        scene.model_copy(
            update={
                what: taken_in(file)
                for what in ("picture", "clip", "narration")
                if (file := getattr(scene, what)) is not None
            }
        )
        for scene in timeline.scenes
    ]
    music = timeline.music
    if music is not None and music.file is not None:
        music = music.model_copy(update={"file": taken_in(music.file)})
    return timeline.model_copy(update={"scenes": scenes, "music": music, "names": names})


def _watch(system: Backend, job_id: str) -> None:
    with drawn_anew() as live:
        while not (status := system.status(job_id)).current_state.has_ended:
            told = Text.assemble(bar(status.progress), f"  {status.progress_message}")
            live.update(Text("\n").join([told, *waiting(system.children(job_id))]))
            time.sleep(system.pace)
