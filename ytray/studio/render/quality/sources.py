"""What a scene's own picture or clip shows at a time of it, framed as in the video: what may be black or stand still.

The motion of a still is worked out here once more, apart from the renderers' filters: a fault of those must show.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ytray.studio.render.frames import decoder, scaled, upright
from ytray.studio.render.pictures import ZOOM, window
from ytray.studio.render.probe import probe, reading
from ytray.studio.render.quality.inspect import (
    AS_FRAMES,
    BLACK,
    BLACK_SHARE,
    MOVED,
    MOVED_SHARE,
    SIDE,
    SMALL,
    counting_rows,
    small_frames,
)
from ytray.studio.render.stills import normal_still
from ytray.studio.render.timeline import FRAMES_PER_SECOND, TimelineScene
from ytray.studio.render.work import work_folder

# A video is at fault where its source clearly shows more: encoding takes away a little of light and of motion.
_NEARLY_BLACK, _NEARLY_BLACK_SHARE = BLACK + 8, BLACK_SHARE - 0.02
_CLEARLY_MOVED, _CLEARLY_MOVED_SHARE = 2 * MOVED, 2 * MOVED_SHARE
_INSIDE = 0.1  # seconds that a clip is looked at later and shorter: its frames are shown at the nearest of the video's
_FINE = 4 * SIDE  # pixels: stills are moved in this size, and then averaged

_Greys = NDArray[np.float32]


@dataclass(frozen=True)
class Watched:
    """What a source shows over some time: whether it is black, and whether it stands still."""

    is_black: bool
    is_still: bool


def watch(
    scene: TimelineScene, lead: int, start: float, end: float, size: tuple[int, int], aside: tuple[float, float] | None
) -> Watched:
    """Look at what a scene shows from `start` to `end`, in seconds of the scene, in a video of `size`.

    Args:
        lead: so many frames before its start the scene begins to fade in; its clip and its motion begin then.
        aside: a band of the video's height (top and bottom, as shares) that does not count.
    """
    rows = counting_rows(aside)
    before = lead / FRAMES_PER_SECOND
    if scene.clip:
        return _watch_clip(scene, before + start, before + end, size, rows)
    steps = max(1, lead + scene.frames - 1)
    shares = [max(0.0, min(1.0, (before + at) * FRAMES_PER_SECOND / steps)) for at in (start, (start + end) / 2, end)]
    canvas = _framed_still(scene, size)
    seen = [_at(canvas, scene, share)[rows] for share in shares]
    return Watched(all(map(_is_black, seen)), not any(_has_moved(seen[0], later) for later in seen[1:]))


def _watch_clip(
    scene: TimelineScene, start: float, end: float, size: tuple[int, int], rows: NDArray[np.bool_]
) -> Watched:
    clip = Path(scene.source)
    found = probe(clip)
    start, seconds = scene.clip_from + start + _INSIDE, max(1 / FRAMES_PER_SECOND, end - start - 2 * _INSIDE)
    last = max(0.0, found.seconds - 2 / (found.frames_per_second or FRAMES_PER_SECOND))
    has_ended = start >= last  # its last frame stands there
    covering = f"{scaled(size, ':force_original_aspect_ratio=increase')},crop={size[0]}:{size[1]}"
    whole = f"{scaled(size, ':force_original_aspect_ratio=decrease')},pad={size[0]}:{size[1]}:-1:-1"
    filters = f"{upright(found, covering if scene.fit == 'crop' else whole)},{SMALL}"
    first: _Greys | None = None
    black, moved = [True], False
    with work_folder() as folder:
        piece = ["-ss", f"{min(start, last):.3f}", *(() if has_ended else ("-t", f"{seconds:.3f}")), *decoder(found)]
        arguments = [*piece, *reading(clip, folder), "-map", found.pictures, "-vf", filters, *AS_FRAMES]
        for frame in small_frames(arguments, folder):
            seen = frame[rows].astype(np.float32)
            black.append(_is_black(seen))
            first = seen if first is None else first
            moved = moved or _has_moved(first, seen)
    return Watched(black[-1] if has_ended else all(black), has_ended or not moved)


def covering_box(source: tuple[int, int], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The middle part of a picture that has the video's shape: left, top, right and bottom, inside the picture."""
    scale = min(source[0] / size[0], source[1] / size[1])
    width, height = size[0] * scale, size[1] * scale
    # By rounding, half of what is left over may be a little less than nothing.
    left, top = max(0.0, (source[0] - width) / 2), max(0.0, (source[1] - height) / 2)
    return left, top, min(source[0], left + width), min(source[1], top + height)


def _framed_still(scene: TimelineScene, size: tuple[int, int]) -> Image.Image:
    """The still's greys in the frame of the video, square whatever its shape, before it moves.

    What a whole picture leaves free is NaN, and counts neither as light nor as motion.
    """
    with work_folder() as folder, Image.open(normal_still(Path(scene.source), folder)) as opened:
        grey = opened.convert("L")
    if scene.fit == "crop":
        cropped = grey.resize((_FINE, _FINE), Image.Resampling.BOX, box=covering_box(grey.size, size))
        return Image.fromarray(np.asarray(cropped, np.float32))
    across, down = grey.width / size[0], grey.height / size[1]
    scale = max(across, down) * (1 + ZOOM)
    wide, high = max(1, round(_FINE * across / scale)), max(1, round(_FINE * down / scale))
    canvas = np.full((_FINE, _FINE), np.nan, np.float32)
    left, top = (_FINE - wide) // 2, (_FINE - high) // 2
    canvas[top : top + high, left : left + wide] = np.asarray(grey.resize((wide, high), Image.Resampling.BOX))
    return Image.fromarray(canvas)


def _at(canvas: Image.Image, scene: TimelineScene, share: float) -> _Greys:
    """What is seen of a still when `share` of its time is over."""
    zoom, x, y = window(scene.motion, share)
    seen = _FINE / zoom
    left, top = (_FINE - seen) * x, (_FINE - seen) * y
    box = (left, top, min(_FINE, left + seen), min(_FINE, top + seen))
    return np.asarray(canvas.resize((SIDE, SIDE), Image.Resampling.BOX, box=box), np.float32)


def _is_black(seen: _Greys) -> bool:
    return bool((seen > _NEARLY_BLACK).mean() <= 1 - _NEARLY_BLACK_SHARE)


def _has_moved(first: _Greys, later: _Greys) -> bool:
    return bool((np.abs(later - first) > _CLEARLY_MOVED).mean() > _CLEARLY_MOVED_SHARE)
