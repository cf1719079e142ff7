"""Checks the files that a timeline names before anything is rendered; an unusable one is reported with its scene."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ytray.errors import PermanentError
from ytray.studio.render import ffmpeg
from ytray.studio.render.probe import headers, probe, reading
from ytray.studio.render.stills import check_still
from ytray.studio.render.timeline import CUT_OFF, Timeline
from ytray.studio.render.work import work_folder

_MOST_TOLD = 5
_TAIL = 0.5  # seconds of silence that recordings end with
_HEARD = 0.5  # seconds of a sound that are decoded


def check_given(timeline: Timeline, local: Callable[[str], tuple[Path, str] | None]) -> None:
    """Raises PermanentError that names every file of a timeline which cannot be used, its scene, and what to do.

    Pictures are decoded wholly, of clips and sounds the headers, the beginning and the end are read. `local` says where
    a file lies and what to call it; None where it is not here to be looked at.
    """
    named = [
        (f"scene {place}: ", file, check)
        for place, scene in enumerate(timeline.scenes, 1)
        for file, check in ((scene.picture, check_still), (scene.clip, _check_clip), (scene.narration, _check_sound))
        if file is not None
    ]
    if timeline.music is not None and timeline.music.file is not None:
        named.append(("the music: ", timeline.music.file, _check_sound))
    different = list(dict.fromkeys((file, check) for _, file, check in named))

    def looked_at(one: tuple[str, Callable[[Path], None]]) -> str | None:
        file, check = one
        path, called = Path(file), Path(file).name
        try:
            if (found := local(file)) is not None:
                path, called = found
                check(path)
        except PermanentError as wrong:
            return str(wrong).replace(path.name, timeline.names.get(file, called), 1)
        return None

    with ThreadPoolExecutor(os.cpu_count() or 1, "ytray-looking") as pool:
        found = dict(zip(different, pool.map(looked_at, different), strict=True))
    wrong = [f"{where}{told}" for where, file, check in named if (told := found[file, check])]
    if wrong:
        more = f"; and {len(wrong) - _MOST_TOLD} more" if len(wrong) > _MOST_TOLD else ""
        raise PermanentError("; ".join(wrong[:_MOST_TOLD]) + more)


def cut_off(timeline: Timeline, local: Callable[[str], tuple[Path, str] | None]) -> list[str]:
    """What will not be heard of a timeline's narrations, by scene, since that is too short. `check_given` comes before.

    The times of its words tell how long a narration is, else its file.
    """
    told = []
    for place, scene in enumerate(timeline.scenes, 1):
        lasts = max((word.end for word in scene.words), default=0.0)
        if not lasts and scene.narration is not None and (found := local(scene.narration)) is not None:
            lasts = headers(found[0]).seconds - _TAIL
        if lasts > scene.length + CUT_OFF:
            told.append(
                f"scene {place}: its narration lasts {lasts:.1f} s, and the scene {scene.length:.1f} s; what is "
                f"beyond is cut off: set its seconds to {lasts + CUT_OFF:.1f}"
            )
    return told


def _check_clip(clip: Path) -> None:
    if probe(clip).video_codec is None:
        raise PermanentError(f"{clip.name} has no picture: a scene's clip must be a video")


def _check_sound(sound: Path) -> None:
    found = headers(sound)
    if found.audio_codec is None:
        raise PermanentError(f"{sound.name} holds no sound; give a file that does")
    with work_folder() as folder:
        arguments = ["-t", str(_HEARD), *reading(sound, folder), "-map", found.sound, "-f", "s16le"]
        try:
            ffmpeg.run(arguments, folder / "heard", seconds=_HEARD, folder=folder)
            is_empty = (folder / "heard").stat().st_size == 0
        except ffmpeg.RenderFailed:
            is_empty = True
    if is_empty:
        raise PermanentError(f"{sound.name} is no sound that can be decoded; save or send it again")
