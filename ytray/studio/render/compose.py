"""From a timeline to a finished video: its parts side by side, its sound, and both joined without encoding again."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from ytray.studio.render import ffmpeg
from ytray.studio.render.encoders import CPU, Encoder
from ytray.studio.render.parts import Part, part_name, parts_of
from ytray.studio.render.rendering import KeptParts, NoKeptParts, render_part
from ytray.studio.render.sound.mix import render_sound, sound_name
from ytray.studio.render.timeline import Timeline
from ytray.studio.render.work import work_folder

_PARTS_SHARE, _SOUND_SHARE = 0.86, 0.12  # of the work: the rest is joining
_MOST_AT_ONCE = 4  # parts in one process: each of their ffmpegs takes more than a core, and 300 MB


@dataclass(frozen=True)
class Composed:
    """How a video was made: who rendered and encoded it, and how many of its parts had been rendered before."""

    renderers: tuple[str, ...]
    encoder: str
    parts: int
    kept: int


def compose(
    timeline: Timeline,
    output: Path,
    progress: Callable[[float], None] = lambda _: None,
    kept: KeptParts | None = None,
) -> Composed:
    """Render a timeline to an MP4 file (H.264, AAC) with its captions drawn in. Parts that are kept are not rendered.

    Raises PermanentError when a file of the timeline cannot be read, no font can draw its text or the disk is full;
    RenderFailed.
    """
    with work_folder() as folder:
        keeping = kept or NoKeptParts()
        parts = parts_of(timeline)
        ready = _rendered(parts, folder, lambda share: progress(share * _PARTS_SHARE), keeping)
        sound = _sound(timeline, folder, keeping, lambda share: progress(_PARTS_SHARE + share * _SOUND_SHARE))
        (folder / "sound.m4a").symlink_to(sound.resolve())
        for place, (file, _, _) in enumerate(ready):
            (folder / f"part{place}.mp4").symlink_to(file.resolve())
        (folder / "list").write_text("".join(f"file part{place}.mp4\n" for place in range(len(ready))))
        arguments = ["-f", "concat", "-safe", "0", "-i", "list", "-i", "sound.m4a", "-map", "0:v", "-map", "1:a"]
        arguments += ["-c", "copy", "-movflags", "+faststart"]
        before = _PARTS_SHARE + _SOUND_SHARE
        ffmpeg.run(
            arguments,
            output,
            seconds=timeline.seconds,
            folder=folder,
            progress=lambda share: progress(before + (1 - before) * share),
        )
    renderers = tuple(sorted({part.renderer for part in parts}))
    return Composed(renderers, ready[0][1].name, len(parts), sum(was_kept for _, _, was_kept in ready))


def _sound(timeline: Timeline, folder: Path, kept: KeptParts, progress: Callable[[float], None]) -> Path:
    name = sound_name(timeline)
    found = kept.find(name, folder)
    if found is None:
        found = folder / name
        render_sound(timeline, found, progress)
        kept.keep(name, found)
    return found


def _rendered(
    parts: list[Part], folder: Path, progress: Callable[[float], None], kept: KeptParts
) -> list[tuple[Path, Encoder, bool]]:
    """Every part's file. All are encoded alike, as pieces of one stream must be."""
    if _all_kept(parts, folder, kept):
        return _side_by_side(parts, folder, progress, kept, (CPU,))
    ready = _side_by_side(parts, folder, progress, kept, None)
    if len({encoder.encoding for _, encoder, _ in ready}) > 1:
        ready = _side_by_side(parts, folder, progress, kept, (CPU,))
    return ready


def _all_kept(parts: list[Part], folder: Path, kept: KeptParts) -> bool:
    """Whether libx264 has encoded every part before, as nodes without a card do."""
    return all(kept.find(part_name(part, CPU.encoding), folder) is not None for part in parts)


def _side_by_side(
    parts: list[Part],
    folder: Path,
    progress: Callable[[float], None],
    kept: KeptParts,
    choices: tuple[Encoder, ...] | None,
) -> list[tuple[Path, Encoder, bool]]:
    """Every part's file, several rendered at once; equal parts are rendered once."""
    names = [part_name(part, CPU.encoding) for part in parts]
    different = dict(zip(names, parts, strict=True))
    frames = sum(part.frames for part in different.values())
    done: dict[str, float] = dict.fromkeys(different, 0.0)
    lock, over = threading.Lock(), threading.Event()

    def render(name: str) -> tuple[Path, Encoder, bool]:
        part = different[name]

        def told(share: float) -> None:
            if over.is_set():
                raise _Over
            with lock:
                done[name] = share * part.frames
                progress(sum(done.values()) / frames)

        ready = render_part(part, folder, kept, told, choices)
        told(1.0)
        return ready

    files: dict[str, tuple[Path, Encoder, bool]] = {}
    with ThreadPoolExecutor(min(_MOST_AT_ONCE, os.cpu_count() or 1), "ytray-part") as pool:
        # The longest first: what is begun last should be short, so that no core waits long for the end.
        longest_first = sorted(different, key=lambda name: -different[name].frames)
        rendering = {pool.submit(render, name): name for name in longest_first}
        try:
            for future in as_completed(rendering):
                files[rendering[future]] = future.result()
        except BaseException:
            # Also an interruption: the other parts' ffmpegs stop at their next report.
            over.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [files[name] for name in names]


class _Over(Exception):
    """Another part has failed, or the whole was interrupted."""
