"""Small frames of a finished video, and of the clip that a scene of it shows: read apart from how it was rendered.

A clip is decoded from its beginning, so no index and no seek has a part in it; only far behind the beginning of one
with an index is it sought, half a minute before what is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ytray.studio.render.clips import INDEXED
from ytray.studio.render.frames import decoder, scaled, upright
from ytray.studio.render.probe import Probed, probe, reading
from ytray.studio.render.quality.inspect import AS_FRAMES, SIDE, SMALL, counting_rows, small_frames
from ytray.studio.render.timeline import FRAMES_PER_SECOND, TimelineScene
from ytray.studio.render.work import work_folder

_CELLS = 32  # of a side: what frames are compared by
_SOUGHT_FROM, _BEFORE = 60.0, 30.0  # seconds: from where on a clip is sought, and how much earlier

Frames = NDArray[np.int16]  # one a row: the mean greys of its cells


@dataclass(frozen=True)
class Region:
    """The cells in which a scene's picture is seen, without captions and without what a whole picture leaves free."""

    cells: NDArray[np.bool_]

    @classmethod
    def of(
        cls, scene: TimelineScene, found: Probed, size: tuple[int, int], aside: tuple[float, float] | None
    ) -> Region:
        """The region of a clip's scene in a video of `size`; `aside`: a band of the height that does not count."""
        rows = counting_rows(aside).reshape(_CELLS, SIDE // _CELLS)
        seen = np.tile(np.min(rows, axis=1, keepdims=True), (1, _CELLS))
        if scene.fit == "blur":
            across, down = size[0] / (found.width or size[0]), size[1] / (found.height or size[1])
            middles = np.abs((np.arange(_CELLS) + 0.5) / _CELLS - 0.5) + 1 / _CELLS
            scale = min(across, down)
            seen &= (middles < 0.5 * scale / across)[None, :] & (middles < 0.5 * scale / down)[:, None]
        return cls(seen.ravel())


def of_video(video: Path, region: Region, start: int, frames: int) -> Frames:
    """`frames` frames of a finished video from its frame `start` on."""
    with work_folder() as folder:
        chosen = f"select='between(n,{start},{start + frames - 1})'"
        arguments = [*reading(video, folder), "-map", "0:V:0", "-vf", f"{chosen},{SMALL}", *AS_FRAMES]
        return _read(arguments, folder, region)


def of_clip(scene: TimelineScene, region: Region, size: tuple[int, int], start: float, frames: int) -> Frames:
    """What a scene's clip shows for `frames` frames from the second `start` of the clip on, framed as in the video."""
    clip = Path(scene.source)
    found = probe(clip)
    sought = start - _BEFORE if start > _SOUGHT_FROM and found.container in INDEXED else 0.0
    covering = f"{scaled(size, ':force_original_aspect_ratio=increase')},crop={size[0]}:{size[1]}"
    whole = f"{scaled(size, ':force_original_aspect_ratio=decrease')},pad={size[0]}:{size[1]}:-1:-1"
    first = round((start - sought) * FRAMES_PER_SECOND)
    cut = (
        f"fps={FRAMES_PER_SECOND}:start_time=0,tpad=stop=-1:stop_mode=clone,"
        f"trim=start_frame={first}:end_frame={first + frames}"
    )
    filters = f"{cut},{upright(found, covering if scene.fit == 'crop' else whole)},{SMALL}"
    with work_folder() as folder:
        seek = ["-ss", f"{sought:.3f}"] if sought else []
        arguments = [*seek, *decoder(found), *reading(clip, folder), "-map", "0:V:0", "-vf", filters, *AS_FRAMES]
        return _read(arguments, folder, region)


def _read(arguments: list[str], folder: Path, region: Region) -> Frames:
    step = SIDE // _CELLS
    rows = [
        frame.reshape(_CELLS, step, _CELLS, step).mean(axis=(1, 3)).ravel()[region.cells].astype(np.int16)
        for frame in small_frames(arguments, folder)
    ]
    return np.array(rows, np.int16).reshape(len(rows), -1)
