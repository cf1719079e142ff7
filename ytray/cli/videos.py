"""`ytray create`: one sentence to a finished video."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ytray.cli.backend import Backend, backend
from ytray.cli.file_names import alone_in, check_folder, folded, names_in, numbered
from ytray.cli.output import AsJson, Exit, complaints, console, drawn_anew, guarded, print_json, print_table
from ytray.engine.base.model import JobStatus
from ytray.engine.base.names import did_you_mean
from ytray.errors import InvalidArguments
from ytray.studio.film_names import film_name
from ytray.studio.model import Brief, Estimate, FinishedVideo, Video
from ytray.studio.platforms import DEFAULT_PLATFORM, PRESETS

_STAGES = (
    ("hook", ("generate_hook",)),
    ("script", ("generate_script",)),
    ("analysis", ("validate_coherence", "track_emotional_arc", "analyze_pacing")),
    ("pictures", ("generate_image_imagen", "generate_video_veo")),
    ("narration", ("generate_audio_tts",)),
    ("scenes", ("render_scene",)),
    ("composition", ("compose_final_video",)),
    ("thumbnails", ("generate_thumbnail",)),
    ("exports", ("export_video",)),
)


TIMELINE_ENDING = ".timeline.json"


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(guarded(create))


def create(
    context: typer.Context,
    prompt: Annotated[str, typer.Argument(help="What the video is about: a sentence, a question, or a text.")],
    aspect: Annotated[str, typer.Option(help="9:16, 16:9, 1:1 or 4:5.")] = "9:16",
    duration: Annotated[int, typer.Option(help="Seconds of video to aim at, 5 to 180.")] = 30,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="mp4, webm, gif, mov, m4a, mp3; repeat.")
    ] = None,
    platform: Annotated[
        str,
        typer.Option(help="youtube_shorts, tiktok, reels or youtube: where captions may stand, and what is checked."),
    ] = DEFAULT_PLATFORM,
    caption_style: Annotated[str, typer.Option(help="highlight, boxed, pill or clean.")] = "highlight",
    music: Annotated[bool, typer.Option(help="A music bed under the voice.")] = True,
    crossfade: Annotated[float, typer.Option(help="Seconds over which scenes fade into each other; 0 cuts.")] = 0.0,
    provider: Annotated[
        str | None, typer.Option(help="Who makes it: offline, vertex or openai; by default as YTRAY_PROVIDER says.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Pay again for what was bought before.")] = False,
    budget: Annotated[float | None, typer.Option(help="US dollars that it may cost at most.")] = None,
    only_estimate: Annotated[
        bool, typer.Option("--estimate", help="Tell what it would cost, and make nothing.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the finished files.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace files of the same name.")] = False,
    as_json: AsJson = False,
) -> Exit | None:
    """Make a video of a sentence. Prints the finished file's path last."""
    if platform not in PRESETS:
        raise InvalidArguments(f"there is no platform {platform!r}{did_you_mean(platform, PRESETS)}")
    try:
        brief = Brief.model_validate(
            {
                "prompt": prompt,
                "aspect": aspect,
                "duration": duration,
                "formats": formats or ["mp4"],
                "platform": platform,
                "caption_style": caption_style,
                "music": music,
                "crossfade": crossfade,
                "provider": provider,
                "fresh": fresh,
                "budget_usd": budget,
            }
        )
    except ValidationError as invalid:
        error = invalid.errors(include_url=False)[0]
        raise InvalidArguments(f"{'.'.join(map(str, error['loc'][:1]))}: {error['msg']}") from None

    system = backend(context)
    if only_estimate:
        _show_estimate(system.estimate(brief), as_json)
        return None
    check_folder(out)
    job_id = system.make_video(brief)
    try:
        if not as_json:
            console.print(f"job {job_id}", style="dim", markup=False)
            _watch(system, job_id)
        finished = FinishedVideo.model_validate(system.wait(job_id, None))
    except KeyboardInterrupt:
        system.cancel(job_id)
        complaints.print(f"cancelled job {job_id}", markup=False)
        return Exit.FAILED
    with alone_in(out):
        paths = save(system, finished, chosen_name(prompt, finished, out, force=force), out)
    if as_json:
        print_json(
            {"job_id": job_id, "files": [str(path) for path in paths], "result": finished.model_dump(mode="json")}
        )
    else:
        _summary(finished, system.children(job_id), paths)
    return None


def chosen_name(prompt: str, finished: FinishedVideo, out: Path, *, force: bool) -> str:
    """A name for the files of a prompt's video, without an ending; with a number where another film has it."""
    taken = set[str]() if force else names_in(out)
    name = film_name(prompt)
    return numbered(name, lambda one: not taken & {folded(one + ending) for _, ending in files_of(finished)})


def _show_estimate(found: Estimate, as_json: bool) -> None:
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    rows = [
        (line.kind, line.model, line.calls, f"{line.likely_usd:.4f}", f"{line.most_usd:.4f}") for line in found.lines
    ]
    print_table(("kind", "model", "calls", "likely, USD", "at most"), rows, "nothing that costs would be called")
    console.print(
        f"{found.likely_usd:.4f} USD likely, {found.most_usd:.4f} at most, by prices of {found.prices_dated}",
        soft_wrap=True,
    )


def _watch(system: Backend, job_id: str) -> None:
    """Show the stages until the job has ended."""
    started = time.monotonic()
    with drawn_anew() as live:
        while True:
            status = system.status(job_id)
            steps = system.children(job_id)
            live.update(Group(_stages(steps, time.monotonic() - started), *waiting(steps)))
            if status.current_state.has_ended:
                return
            time.sleep(system.pace)


def _stages(steps: list[JobStatus], seconds: float) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, tasks in _STAGES:
        own = [step for step in steps if step.task_name in tasks]
        if not own:
            table.add_row("·", name, "", "", style="dim")
            continue
        done = sum(step.current_state == "COMPLETED" for step in own)
        share = sum(step.progress for step in own) / len(own)
        busy = next((step for step in own if step.current_state == "EXECUTING"), None)
        trouble = next((step for step in own if step.current_state in ("FAILED", "RETRYING")), None)
        mark = Text("✗", "red") if trouble else Text("✓", "green") if done == len(own) else Text("●", "yellow")
        told = (trouble.error or "") if trouble else busy.progress_message if busy else ""
        count = f"{done}/{len(own)}" if len(own) > 1 else ""
        table.add_row(mark, name, Text.assemble(bar(share), f" {count}"), Text(told[:60], "dim"))
    table.add_row("", "", "", Text(f"{seconds:.0f} s", "dim"))
    return table


def waiting(steps: list[JobStatus]) -> list[Text]:
    """A line for each error that steps wait to be tried again after: what it is, of how many, and until when."""
    alike: dict[tuple[str, str], list[JobStatus]] = {}
    for step in steps:
        if step.current_state == "RETRYING":
            alike.setdefault((step.task_name, step.error or step.progress_message), []).append(step)
    return [
        waits(name, min(step.next_retry_at or step.created_at for step in group), len(group), error)
        for (name, error), group in alike.items()
    ]


def waits(task_name: str, until: datetime, count: int, error: str) -> Text:
    """What some jobs of a task wait for, that failed alike."""
    many = f" ({count:,} of them)" if count > 1 else ""
    return Text(f"{task_name} waits until {until.astimezone():%H:%M:%S}{many}, to be tried again: {error}", "yellow")


def bar(percent: float) -> Text:
    """A progress bar."""
    full = round(percent / 5)
    return Text.assemble(("━" * full, "green"), ("━" * (20 - full), "dim"), f" {percent:3.0f} %")


def told_of(video: Video, steps: list[JobStatus]) -> str:
    """What made a video by these steps and how it was found, in a line or two."""
    quality = video.quality
    level = "silent"
    if quality.loudness_lufs is not None and quality.peak_dbtp is not None:
        level = f"{quality.loudness_lufs:.1f} LUFS, peak {quality.peak_dbtp:.1f} dBTP"
    anew = sum(not step.result["was_kept"] for step in steps if step.task_name == "render_scene" and step.result)
    made = f"{video.encoder} by {video.renderer}; {anew} of {video.parts} parts were rendered now"
    warnings = "".join(f"\nwarning: {warning}" for warning in quality.warnings)
    return f"checked: {level}; {made}{warnings}"


def files_of(finished: FinishedVideo) -> list[tuple[str, str]]:
    """The URIs of a finished video's files, and what is put behind its name for each; the video comes last."""
    return [
        (finished.thumbnails.landscape, "-thumbnail.jpg"),
        (finished.thumbnails.portrait, "-thumbnail-portrait.jpg"),
        (finished.video.captions_srt, ".srt"),
        (finished.video.timeline, TIMELINE_ENDING),
        (finished.video.quality.page, ".report.html"),
        *((exported.uri, f".{exported.format}") for exported in reversed(finished.exports)),
    ]


def save(system: Backend, finished: FinishedVideo, name: str, out: Path) -> list[Path]:
    """Bring the finished files to a folder, under a name without its ending; the video comes last."""
    paths = []
    for uri, ending in files_of(finished):
        target = (out / f"{name}{ending}").absolute()
        system.fetch(uri, target)
        paths.append(target)
    return paths


def _summary(finished: FinishedVideo, steps: list[JobStatus], paths: list[Path]) -> None:
    console.print(
        f"{finished.video.seconds:.1f} s, {finished.video.width}×{finished.video.height}; "
        f"{finished.pacing.words_per_minute:.0f} words a minute, coherence {finished.coherence.score:.2f}, "
        f"arc: {finished.emotional_arc.shape}",
        style="dim",
    )
    console.print(told_of(finished.video, steps), style="dim", soft_wrap=True, markup=False)
    console.print(f"text: {finished.script.note}", style="dim", markup=False)
    if finished.cost_usd > 0:
        console.print(f"cost: {finished.cost_usd:.4f} USD", style="dim")
    for path in paths:
        console.print(str(path), soft_wrap=True, markup=False)
