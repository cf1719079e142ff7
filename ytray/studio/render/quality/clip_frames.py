"""Small frames of a finished video, and of the clip that a scene of it shows: read apart from how it was rendered.

A clip is decoded from its beginning, so no index and no seek has a part in it; only far behind the beginning of one
with an index is it sought, half a minute before what is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ytray.studio.render.clips import INDEXED
from ytray.studio.render.frames import decoder, scaled, upright
from ytray.studio.render.probe import Probed, reading
from ytray.studio.render.quality.inspect import AS_FRAMES, SIDE, SMALL, counting_rows, small_frames
from ytray.studio.render.timeline import FRAMES_PER_SECOND, TimelineScene
from ytray.studio.render.work import work_folder

_CELLS = 32  # of a side: what frames are compared by
_SOUGHT_FROM, _BEFORE = 60.0, 30.0  # seconds: from where on a clip is sought, and how much earlier
_FINE = 320  # pixels, the shorter side in which clips are framed
_MOST_TIMES = 8  # as of slow motion of 240 a second; a coarse clock may claim a thousand
_MOST_HELD = 20_000  # pictures of a clip, a kilobyte each; of a longer stretch each frame of the video's rate is held

Frames = NDArray[np.uint8]  # (frames, 32, 32): the mean greys of their cells
Cells = NDArray[np.bool_]  # (32, 32)


def counting(scene: TimelineScene, found: Probed, size: tuple[int, int], aside: tuple[float, float] | None) -> Cells:
    """The cells in which a clip is seen in a video of `size`: without captions and without what it leaves free.

    `aside` is a band of the height that does not count.
    """
    rows = counting_rows(aside).reshape(_CELLS, SIDE // _CELLS)
    seen = np.tile(np.min(rows, axis=1, keepdims=True), (1, _CELLS))
    if scene.fit == "blur":
        across, down = size[0] / (found.width or size[0]), size[1] / (found.height or size[1])
        middles = np.abs((np.arange(_CELLS) + 0.5) / _CELLS - 0.5) + 1 / _CELLS
        scale = min(across, down)
        seen &= (middles < 0.5 * scale / across)[None, :] & (middles < 0.5 * scale / down)[:, None]
    return np.asarray(seen)


def of_video(video: Path, stretches: list[tuple[int, int]]) -> Iterator[Frames]:
    """The frames of stretches of a finished video, from the first to before the last of each, one after the other."""
    with work_folder() as folder:
        arguments = [*reading(video, folder), "-map", "0:V:0", "-vf", SMALL, *AS_FRAMES]
        with closing(small_frames(arguments, folder)) as frames:
            numbered = enumerate(frames)
            for first, end in stretches:
                kept: list[Frames] = []
                for number, frame in numbered if end > first else ():
                    if number >= first:
                        kept.append(_cells(frame))
                    if number >= end - 1:
                        break
                yield _together(kept)


def finer(found: Probed, frames: int) -> int:
    """How many pictures of a clip are looked at for each of the video's, where it has more of them a second."""
    wanted = ceil((found.frames_per_second or 0) / FRAMES_PER_SECOND - 0.05)
    return max(1, min(wanted, _MOST_TIMES, _MOST_HELD // frames))


def of_clip(
    scene: TimelineScene, found: Probed, size: tuple[int, int], start: float, frames: int, times: int
) -> Frames:
    """What a scene's clip shows for `frames` frames from the second `start` of the clip on, framed as in the video.

    `times` as many pictures are held.
    """
    rate = FRAMES_PER_SECOND * times
    sought = start - _BEFORE if start > _SOUGHT_FROM and found.container in INDEXED else 0.0
    share = min(1.0, _FINE / min(size))  # the frame of the video in little: the same is seen of the clip
    size = round(size[0] * share), round(size[1] * share)
    covering = f"{scaled(size, ':force_original_aspect_ratio=increase')},crop={size[0]}:{size[1]}"
    whole = f"{scaled(size, ':force_original_aspect_ratio=decrease')},pad={size[0]}:{size[1]}:-1:-1"
    first = round((start - sought) * FRAMES_PER_SECOND) * times
    cut = f"fps={rate}:start_time=0,tpad=stop=-1:stop_mode=clone,trim=start_frame={first}:"
    cut += f"end_frame={first + frames * times}"
    filters = f"{cut},{upright(found, covering if scene.fit == 'crop' else whole)},{SMALL}"
    with work_folder() as folder:
        seek = ["-ss", f"{sought:.3f}"] if sought else []
        arguments = [
            *seek,
            *decoder(found),
            *reading(Path(scene.source), folder),
            "-map",
            found.pictures,
            "-vf",
            filters,
        ]
        return _together([_cells(frame) for frame in small_frames([*arguments, *AS_FRAMES], folder)])


def _cells(frame: NDArray[np.uint8]) -> Frames:
    step = SIDE // _CELLS
    return np.asarray(np.rint(frame.reshape(_CELLS, step, _CELLS, step).mean(axis=(1, 3))), np.uint8)


def _together(frames: list[Frames]) -> Frames:
    return np.array(frames, np.uint8).reshape(len(frames), _CELLS, _CELLS)
