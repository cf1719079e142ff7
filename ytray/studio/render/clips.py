"""Clips that users hand in: those whose times and index cannot be trusted are put into a file where they can.

MPEG-TS, MPEG-PS, FLV and others have no index, so a seek lands somewhere; animated pictures have none either. Such a
clip is read from its beginning once: its streams are copied into a Matroska file, or, where that does not keep every
picture's time, encoded anew. The file is kept on the node by the clip's content.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ytray.artifacts.cache import Cache
from ytray.errors import PermanentError
from ytray.full_disk import telling_of_full_disk
from ytray.settings import settings
from ytray.studio.render import ffmpeg
from ytray.studio.render.digests import digest
from ytray.studio.render.probe import Probed, lands, picture_times, probe, reading
from ytray.studio.render.work import work_folder

_WAYS = 1  # raised when such files come out different from what they were: kept ones are then no longer used
INDEXED = frozenset({"mov", "matroska"})  # ffmpeg's names of containers whose index leads to the right picture
_DRAWN = frozenset({"gif", "apng", "webp_anim"})  # a picture of these is stored as its changes since the one before
_SAME_TIME = 0.0021  # seconds: Matroska counts milliseconds
# Nearly lossless, a key picture every half second: only the wanted stretch is decoded later.
_ENCODED = "-c:v libx264 -preset veryfast -crf 12 -g 15 -bf 0".split()
_LOSSLESS = "-c:v ffv1 -level 3".split()  # also of what shines through


def normal_clip(source: Path, folder: Path, start: float = 0.0) -> Path:
    """A clip that can be read from `start` seconds on: `source` itself where it can, else a Matroska file in `folder`.

    What has no pictures is no clip, and is left as it is. Raises PermanentError, naming the file, when it cannot be
    read; RenderFailed.
    """
    found = probe(source)
    if found.video_codec is None or (found.container in INDEXED and lands(source, found, start)):
        return source
    target = folder / f"clip-{digest(source)[:32]}.mkv"
    if target.exists():
        return target
    given = settings()
    cache = Cache(given.home / "cache" / "clips", given.cache_bytes)
    kept = f"clip {_WAYS} {digest(source)}"
    if not cache.lend(kept, target):
        cache.fill(kept, source.stat().st_size, target, lambda part: _write(source, found, part))
    return target


def _write(source: Path, found: Probed, target: Path) -> None:
    with work_folder() as folder:
        made = folder / "clip.mkv"
        inputs = ["-fflags", "+genpts", *reading(source, folder)]
        streams = ["-map", found.pictures, "-map", f"{found.sound}?", "-map_metadata", "-1"]
        if found.container in _DRAWN or not _copied(source, found, [*inputs, *streams], made):
            kind = _LOSSLESS if found.has_alpha else [*_ENCODED, "-pix_fmt", _pixels(found)]
            arguments = [*inputs, *streams, *kind, "-fps_mode", "passthrough", "-c:a", "flac"]
            ffmpeg.run(arguments, made, seconds=found.seconds, folder=folder, names={"input": source.name})
        with telling_of_full_disk(f"the clip {source.name} in {target.parent}"):
            shutil.copyfile(made, target)


def _copied(source: Path, found: Probed, arguments: list[str], made: Path) -> bool:
    """Whether the streams could be copied with every picture's time."""
    try:
        ffmpeg.run([*arguments, "-c", "copy"], made, seconds=found.seconds, folder=made.parent)
        before, after = picture_times(source), picture_times(made)
    except (ffmpeg.RenderFailed, PermanentError):
        return False
    return len(before) == len(after) and all(
        abs(one - other) <= _SAME_TIME for one, other in zip(before, after, strict=True)
    )


def _pixels(found: Probed) -> str:
    return "yuv420p10le" if "10" in (found.pixel_format or "") else "yuv420p"
