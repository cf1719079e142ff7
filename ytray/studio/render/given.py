"""Checks the files that a timeline names before anything is rendered; an unusable one is reported with its scene."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ytray.errors import PermanentError
from ytray.studio.render import ffmpeg
from ytray.studio.render.damage import check_decoded, check_still_decoded, check_wav_is_whole
from ytray.studio.render.probe import headers, probe, reading
from ytray.studio.render.stills import check_still
from ytray.studio.render.timeline import CUT_OFF, Timeline
from ytray.studio.render.work import work_folder

_MOST_TOLD = 5
_TAIL = 0.5  # seconds of silence that recordings end with
_HEARD = 0.5  # seconds of a sound that are decoded
_DECODED_FOR = 4.0  # seconds after which nothing more is decoded to look for damage: whoever waits is answered soon


@dataclass(frozen=True)
class _Given:
    """A file, and what is wanted of it: `seconds` from `start` on, and whether its sound is heard."""

    file: str
    kind: Literal["picture", "clip", "sound"]
    start: float = 0.0
    seconds: float = 0.0
    is_heard: bool = True


def check_given(timeline: Timeline, local: Callable[[str], tuple[Path, str] | None]) -> None:
    """Raises PermanentError that names every file of a timeline which cannot be used, its scene, and what to do.

    Of every file the headers, the beginning and the end are read; then what is wanted of them is decoded, as far as
    that comes in four seconds. `local` says where a file lies and what to call it; None where it is not here to be
    looked at.
    """
    named = list(_files(timeline))
    different = list(dict.fromkeys(given for _, given in named))
    until = time.monotonic() + _DECODED_FOR

    def looked_at(given: _Given) -> str | None:
        path, called = Path(given.file), Path(given.file).name
        try:
            if (found := local(given.file)) is not None:
                path, called = found
                _check(path, given, until)
        except PermanentError as wrong:
            return str(wrong).replace(path.name, timeline.names.get(given.file, called), 1)
        return None

    with ThreadPoolExecutor(os.cpu_count() or 1, "ytray-looking") as pool:
        found = dict(zip(different, pool.map(looked_at, different), strict=True))
    wrong = [f"{where}{told}" for where, given in named if (told := found[given])]
    if wrong:
        more = f"; and {len(wrong) - _MOST_TOLD} more" if len(wrong) > _MOST_TOLD else ""
        raise PermanentError("; ".join(wrong[:_MOST_TOLD]) + more)


def cut_off(timeline: Timeline, local: Callable[[str], tuple[Path, str] | None]) -> list[str]:
    """What will not be heard of a timeline's narrations, by scene, since that is too short. `check_given` comes before.

    The times of its words tell how long a narration is, else its file.
    """
    told = []
    for place, scene in enumerate(timeline.scenes, 1):
        lasts, silent = max((word.end for word in scene.words), default=0.0), 0.0
        if not lasts and scene.narration is not None and (found := local(scene.narration)) is not None:
            lasts, silent = headers(found[0]).seconds, _TAIL
        if lasts - silent > scene.length + CUT_OFF:
            told.append(
                f"scene {place}: its narration lasts {lasts:.1f} s, and the scene {scene.length:.1f} s; what is "
                f"beyond is cut off: set its seconds to {lasts + CUT_OFF:.1f}"
            )
    return told


def _files(timeline: Timeline) -> Iterator[tuple[str, _Given]]:
    """Every file, and where it is named."""
    for place, scene in enumerate(timeline.scenes, 1):
        where = f"scene {place}: "
        if scene.picture is not None:
            yield where, _Given(scene.picture, "picture")
        if scene.clip is not None:
            yield where, _Given(scene.clip, "clip", scene.clip_from, scene.length, scene.clip_volume > 0)
        if scene.narration is not None:
            yield where, _Given(scene.narration, "sound", 0.0, scene.length)
    if timeline.music is not None and timeline.music.file is not None:
        yield "the music: ", _Given(timeline.music.file, "sound", 0.0, timeline.seconds)


def _check(path: Path, given: _Given, until: float) -> None:
    if given.kind == "picture":
        is_coded_by_blocks = check_still(path) in ("JPEG", "MPO", "PNG")
        if is_coded_by_blocks and (left := until - time.monotonic()) > 0:
            check_still_decoded(path, left)
        return
    if given.kind == "sound":
        _check_sound(path)
    found = probe(path)
    if given.kind == "clip" and found.video_codec is None:
        raise PermanentError(f"{path.name} has no picture: a scene's clip must be a video")
    if (left := until - time.monotonic()) > 0:
        is_heard = given.is_heard and found.audio_codec is not None
        check_decoded(path, found, given.start, given.seconds, is_heard=is_heard, within=left)


def _check_sound(sound: Path) -> None:
    found = headers(sound)
    if found.audio_codec is None:
        raise PermanentError(f"{sound.name} holds no sound; give a file that does")
    check_wav_is_whole(sound)
    with work_folder() as folder:
        arguments = ["-t", str(_HEARD), *reading(sound, folder), "-map", found.sound, "-f", "s16le"]
        try:
            ffmpeg.run(arguments, folder / "heard", seconds=_HEARD, folder=folder)
            is_empty = (folder / "heard").stat().st_size == 0
        except ffmpeg.RenderFailed:
            is_empty = True
    if is_empty:
        raise PermanentError(f"{sound.name} is no sound that can be decoded; save or send it again")
