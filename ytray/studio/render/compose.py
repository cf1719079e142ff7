"""From a timeline to a finished video: its scenes side by side, its sound, and both joined without encoding again."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Protocol

from ytray.studio.render import ffmpeg
from ytray.studio.render.scene import render_scene, scene_name
from ytray.studio.render.sound import render_sound, sound_name
from ytray.studio.render.timeline import Timeline

_SCENES_SHARE = 0.94  # of the work: the rest is sound and joining
_MOST_AT_ONCE = 4  # scenes in one process: each of their ffmpegs takes more than a core, and 300 MB


class KeptParts(Protocol):
    """Scenes and sounds that were rendered before, by names that stand for all that went into them."""

    def find(self, name: str, folder: Path, /) -> Path | None:
        """The part's file, or None; a copy may be put into `folder`."""

    def keep(self, name: str, file: Path, /) -> None:
        """Keep a part."""


class NoKeptParts:
    """Keeps nothing."""

    def find(self, name: str, folder: Path) -> Path | None:
        """None."""

    def keep(self, name: str, file: Path) -> None:
        """Keep nothing."""


def compose(
    timeline: Timeline,
    output: Path,
    progress: Callable[[float], None] = lambda _: None,
    kept: KeptParts | None = None,
) -> None:
    """Render a timeline to an MP4 file (H.264, AAC) with its captions drawn in. Parts that are kept are not rendered.

    Raises PermanentError when the caption font cannot draw the text or the disk is full, RenderFailed.
    """
    with tempfile.TemporaryDirectory(prefix="ytray-compose-") as name:
        folder = Path(name)
        parts = kept or NoKeptParts()
        scenes = _scenes(timeline, folder, lambda share: progress(share * _SCENES_SHARE), parts)
        (folder / "sound.m4a").symlink_to(_sound(timeline, folder, parts).resolve())
        for place, scene in enumerate(scenes):
            (folder / f"scene{place}.mp4").symlink_to(scene.resolve())
        (folder / "list").write_text("".join(f"file scene{place}.mp4\n" for place in range(len(scenes))))
        arguments = ["-f", "concat", "-safe", "0", "-i", "list", "-i", "sound.m4a", "-map", "0:v", "-map", "1:a"]
        arguments += ["-c", "copy", "-movflags", "+faststart"]
        rest = 1 - _SCENES_SHARE
        ffmpeg.run(
            arguments,
            output,
            seconds=timeline.seconds,
            folder=folder,
            progress=lambda share: progress(_SCENES_SHARE + rest * share),
        )


def _sound(timeline: Timeline, folder: Path, kept: KeptParts) -> Path:
    name = sound_name(timeline)
    found = kept.find(name, folder)
    if found is None:
        found = folder / name
        render_sound(timeline, found)
        kept.keep(name, found)
    return found


def _scenes(timeline: Timeline, folder: Path, progress: Callable[[float], None], kept: KeptParts) -> list[Path]:
    """Every scene's file, rendered side by side where it was not kept; equal scenes are rendered once."""
    names = [scene_name(timeline, scene) for scene in timeline.scenes]
    files = {name: found for name in dict.fromkeys(names) if (found := kept.find(name, folder)) is not None}
    missing = {name: scene for name, scene in zip(names, timeline.scenes, strict=True) if name not in files}
    frames = sum(scene.frames for scene in missing.values())
    done: dict[str, float] = dict.fromkeys(missing, 0.0)
    lock, over = threading.Lock(), threading.Event()

    def render(name: str) -> Path:
        scene, file = missing[name], folder / name

        def told(share: float) -> None:
            if over.is_set():
                raise _Over
            with lock:
                done[name] = share * scene.frames
                progress(sum(done.values()) / frames)

        render_scene(timeline, scene, file, told)
        told(1.0)
        return file

    with ThreadPoolExecutor(min(_MOST_AT_ONCE, os.cpu_count() or 1), "ytray-scene") as pool:
        rendering = {pool.submit(render, name): name for name in missing}
        try:
            for future in as_completed(rendering):
                name = rendering[future]
                files[name] = future.result()
                kept.keep(name, files[name])
        except BaseException:
            # Also an interruption: the other scenes' ffmpegs stop at their next report.
            over.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [files[name] for name in names]


class _Over(Exception):
    """Another scene has failed, or the whole was interrupted."""
