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

_SOUND_WEIGHT, _JOINING_WEIGHT = 0.10, 0.02  # of the work, against that of all pictures
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

    Raises PermanentError when a file of the timeline cannot be read, or no font can draw its text;
    DiskFull, RenderFailed.
    """
    with work_folder() as folder:
        parts = parts_of(timeline)
        together = _Together(parts, progress)
        ready, sound = _made(timeline, parts, folder, together, kept or NoKeptParts())
        (folder / "sound.m4a").symlink_to(sound.resolve())
        for place, (file, _, _) in enumerate(ready):
            (folder / f"part{place}.mp4").symlink_to(file.resolve())
        (folder / "list").write_text("".join(f"file part{place}.mp4\n" for place in range(len(ready))))
        arguments = ["-f", "concat", "-safe", "0", "-i", "list", "-i", "sound.m4a", "-map", "0:v", "-map", "1:a"]
        arguments += ["-c", "copy", "-movflags", "+faststart"]
        ffmpeg.run(arguments, output, seconds=timeline.seconds, folder=folder, progress=together.of(_JOINING))
    renderers = tuple(sorted({part.renderer for part in parts}))
    return Composed(renderers, ready[0][1].name, len(parts), sum(was_kept for _, _, was_kept in ready))


_Ready = tuple[Path, Encoder, bool]  # a part's file, who encoded it, and whether it had been kept


def _made(
    timeline: Timeline, parts: list[Part], folder: Path, together: _Together, kept: KeptParts
) -> tuple[list[_Ready], Path]:
    """Every part's file, and the sound's, which is mixed meanwhile. What fails first stops all the rest."""
    with ThreadPoolExecutor(1, "ytray-sound") as beside:
        hearing = beside.submit(_sound, timeline, folder, kept, together.of(_SOUND))
        hearing.add_done_callback(lambda done: together.stop() if done.exception() else None)
        try:
            return _rendered(parts, folder, together, kept), hearing.result()
        except _Stopped:
            hearing.result()  # raises what went wrong with the sound, if it was that
            raise
        finally:
            together.stop()


def _sound(timeline: Timeline, folder: Path, kept: KeptParts, progress: Callable[[float], None]) -> Path:
    name = sound_name(timeline)
    found = kept.find(name, folder)
    if found is None:
        found = folder / name
        render_sound(timeline, found, progress)
        kept.keep(name, found)
    progress(1.0)
    return found


def _rendered(parts: list[Part], folder: Path, together: _Together, kept: KeptParts) -> list[_Ready]:
    """Every part's file. All are encoded alike, as pieces of one stream must be."""
    if all(kept.has(part_name(part, CPU.encoding)) for part in parts):  # encoded by nodes without a card
        return _side_by_side(parts, folder, together, kept, (CPU,))
    ready = _side_by_side(parts, folder, together, kept, None)
    if len({encoder.encoding for _, encoder, _ in ready}) > 1:
        ready = _side_by_side(parts, folder, together, kept, (CPU,))
    return ready


def _side_by_side(
    parts: list[Part], folder: Path, together: _Together, kept: KeptParts, choices: tuple[Encoder, ...] | None
) -> list[_Ready]:
    """Every part's file, several rendered at once; equal parts are rendered once."""
    names = [part_name(part, CPU.encoding) for part in parts]
    different = dict(zip(names, parts, strict=True))

    def render(name: str) -> _Ready:
        told = together.of(name)
        told(0.0)
        ready = render_part(different[name], folder, kept, told, choices)
        told(1.0)
        return ready

    with ThreadPoolExecutor(min(_MOST_AT_ONCE, os.cpu_count() or 1), "ytray-part") as pool:
        # The longest first: what is begun last should be short, so that no core waits long for the end.
        longest_first = sorted(different, key=lambda name: -different[name].frames)
        rendering = {pool.submit(render, name): name for name in longest_first}
        try:
            files = {rendering[future]: future.result() for future in as_completed(rendering)}
        except BaseException:
            # Also an interruption: the other parts' ffmpegs stop at their next report.
            together.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [files[name] for name in names]


_SOUND, _JOINING = "sound", "joining"


class _Together:
    """The progress of what goes on side by side, told as one; when it is stopped, each stops at its next report."""

    def __init__(self, parts: list[Part], progress: Callable[[float], None]) -> None:
        frames = {part_name(part, CPU.encoding): part.frames for part in parts}
        pictures = sum(frames.values())
        self._weights = {**frames, _SOUND: _SOUND_WEIGHT * pictures, _JOINING: _JOINING_WEIGHT * pictures}
        self._whole = sum(self._weights.values())
        self._done: dict[str, float] = {}
        self._told = 0.0
        self._progress = progress
        self._lock, self._over = threading.Lock(), threading.Event()

    def of(self, name: str) -> Callable[[float], None]:
        """Where a part, the sound or the joining tells its own progress, 0 to 1."""

        def told(share: float) -> None:
            if self._over.is_set() and name != _JOINING:
                raise _Stopped
            with self._lock:
                self._done[name] = share * self._weights[name]
                # It never goes back, also when parts have to be encoded once more.
                self._told = max(self._told, sum(self._done.values()) / self._whole)
                self._progress(self._told)

        return told

    def stop(self) -> None:
        """Let everything stop."""
        self._over.set()


class _Stopped(Exception):
    """Another part has failed, or the whole was interrupted."""
