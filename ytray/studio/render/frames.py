"""The pictures of any video in one form: filters that turn them into upright BT.709, and single frames of it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ytray.errors import PermanentError
from ytray.studio import foreign
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.probe import Probed, reading
from ytray.studio.render.work import work_folder

Pixels = NDArray[np.uint8]

BT709 = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
"""A filter that marks pictures as BT.709: ffmpeg's options -color_primaries and -color_trc do not reach an encoder."""

# Without the last three, a change of the colour matrix shifts colours by up to 4 of 255; with them by 1.
_EXACTLY = "lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"
# 203 cd/m² is what BT.2408 calls white in HDR. Up to six tenths of that light stays as it is; what is brighter, up to
# five times that white (1000 cd/m², what most is graded for), is rolled off.
DIMMED = "tonemap=mobius:param=0.6:peak=5:desat=0"
_WIDE = ("bt2020", "smpte431", "smpte432")  # primaries of more colours than BT.709 has: BT.2020 and those of cinemas
_ON_BLACK = (
    "format=rgba,split[{0}over][{0}under];[{0}under]drawbox=color=black:thickness=fill:replace=1[{0}black];"
    "[{0}black][{0}over]overlay=format=gbrp"
)
_LOOKED_THROUGH = 180.0  # seconds from the start: the longest Short
_SD_LINES, _HD_WIDTH = 576, 1280  # pixels: of the shorter and the longer side
_FEW = 5  # key pictures: with fewer, others are looked at too
_AROUND = 0.4  # seconds
_TIMEOUT = 120  # seconds


@dataclass(frozen=True)
class Frame:
    """A picture, (height, width, 3) in RGB, and the second at which it is shown."""

    at: float
    pixels: Pixels


def decoder(found: Probed) -> list[str]:
    """ffmpeg's arguments before a video that it would not decode in full by itself: VP9 with transparency."""
    return ["-c:v", "libvpx-vp9"] if found.has_alpha and found.video_codec == "vp9" else []


def scaled(size: tuple[int, int], more: str = "") -> str:
    """A filter that scales to `size` and to BT.709; `more` are further options of ffmpeg's scale."""
    return f"scale={size[0]}:{size[1]}:flags={_EXACTLY}:out_color_matrix=bt709:out_range=tv{more}"


def upright(found: Probed, fitting: str, mark: str = "") -> str:
    """Filters from a video's pictures to BT.709, 8 bits, 4:2:0, square pixels; `fitting` are those that scale.

    What shines through is put on black, HDR and wider colours are mapped, fields are joined to pictures. ffmpeg has
    turned them by itself.
    `mark` begins the names of links, where several videos stand in one graph.
    """
    filters = [fitting, "setsar=1", "format=yuv420p", BT709]
    if found.is_interlaced:
        filters.insert(0, "bwdif=mode=send_frame")
    matrix, primaries, transfer = _said(found)
    if found.is_hdr or primaries in _WIDE:
        said = f"setparams=colorspace={matrix}:color_primaries={primaries}:color_trc={transfer}"
        dimmed = [DIMMED] if found.is_hdr else []
        filters[:0] = [said, to_light(transfer), *dimmed, "zscale=t=bt709:m=bt709:r=tv"]
    elif _is_yuv(found) and "unknown" in (found.colours or "unknown").partition("/")[0]:
        filters.insert(0, f"setparams=colorspace={matrix}")
    if found.has_alpha:
        filters.insert(0, _ON_BLACK.format(mark))
    return ",".join(filters)


def to_light(transfer: str) -> str:
    """Filters from pictures of any primaries and this transfer to light in BT.709's primaries, 1 being white."""
    # By approximation, which takes half the time, HLG's system gamma is that of each colour by itself: skin turns red.
    exactly = ":agamma=0" if transfer == "arib-std-b67" else ""
    return f"zscale=t=linear:npl=203{exactly},format=gbrpf32le,zscale=p=bt709"


def _said(found: Probed) -> tuple[str, str, str]:
    """The matrix, primaries and transfer of a video, as ffmpeg names them: what it says, else what players take it for.

    Without a matrix that is BT.601 up to standard definition, else BT.709.
    """
    parts = (found.colours or "unknown").split("/")
    matrix, primaries, transfer = parts if len(parts) == 3 else parts * 3
    if primaries == "unknown":
        primaries = "bt2020" if found.is_hdr or matrix.startswith("bt2020") else "bt709"
    if matrix == "unknown" and primaries == "bt2020":
        matrix = "bt2020nc"
    elif matrix == "unknown":
        sides = sorted((found.width or 0, found.height or 0))
        matrix = "smpte170m" if sides[0] <= _SD_LINES and sides[1] < _HD_WIDTH else "bt709"
    if not _is_yuv(found):
        matrix = "gbr"
    return matrix, primaries, "bt709" if transfer == "unknown" else transfer


def _is_yuv(found: Probed) -> bool:
    """Whether it reaches these filters as such: what shines through is put on black in RGB."""
    return (found.pixel_format or "").startswith("yuv") and not found.has_alpha


def overview(source: Path, found: Probed, size: tuple[int, int]) -> list[Frame]:
    """Frames from the first three minutes, `size` pixels small: key pictures, which are sharpest and quickly read.

    Where there are few of them, some evenly over the video as well.
    """
    frames = _read(source, found, ["-skip_frame", "nokey", "-t", str(_LOOKED_THROUGH)], size)
    if len(frames) < _FEW:
        length = min(found.seconds, _LOOKED_THROUGH)
        evenly = f"fps={2 * _FEW / max(length, 0.1):.6f}"
        frames += _read(source, found, ["-skip_frame", "noref", "-t", f"{length:.3f}"], size, evenly)
    if not frames:
        raise PermanentError(f"{source.name} has no picture that can be decoded")
    return frames


def around(source: Path, found: Probed, at: float, size: tuple[int, int]) -> tuple[Frame, Frame, Frame]:
    """The frames 0.4 s before, at, and 0.4 s after a second of the video, as far as there are such."""
    start = max(0.0, at - _AROUND)
    frames = _read(source, found, ["-ss", f"{start:.3f}", "-t", f"{at - start + _AROUND:.3f}"], size)
    if not frames:
        raise PermanentError(f"{source.name} has no picture at {at:.2f} s")
    frames = [Frame(frame.at + start, frame.pixels) for frame in frames]
    return frames[0], min(frames, key=lambda frame: abs(frame.at - at)), frames[-1]


def frame_at(source: Path, found: Probed, at: float, size: tuple[int, int]) -> Frame:
    """One frame of the video."""
    # Half a picture earlier: the times were rounded on their way.
    begin = max(0.0, at - 0.5 / (found.frames_per_second or 30.0))
    frames = _read(source, found, ["-ss", f"{begin:.4f}"], size, only_first=True)
    if not frames:
        raise PermanentError(f"{source.name} has no picture at {at:.2f} s")
    return frames[0]


def _read(
    source: Path,
    found: Probed,
    reading_options: list[str],
    size: tuple[int, int],
    choice: str = "null",
    only_first: bool = False,
) -> list[Frame]:
    width, height = size
    with work_folder() as folder:
        inputs = [*reading_options, *decoder(found), *reading(source, folder)]
        filters = f"{choice},{upright(found, scaled(size))},format=rgb24,showinfo=checksum=0"
        command = ["-map", found.pictures, "-vf", filters, "-fps_mode", "passthrough", "-f", "rawvideo", "-"]
        try:
            done = foreign.run(
                [binary(), "-hide_banner", "-nostdin", *inputs, *(["-frames:v", "1"] * only_first), *command],
                folder=folder,
                timeout=_TIMEOUT,
            )
        except subprocess.TimeoutExpired as expired:
            raise PermanentError(f"{source.name} could not be decoded within {_TIMEOUT} s") from expired
    count = len(done.stdout) // (width * height * 3)
    pixels = np.frombuffer(done.stdout, np.uint8, count * width * height * 3).reshape(count, height, width, 3)
    times = [float(time) for time in re.findall(rb"\bpts_time:(-?[\d.]+)", done.stderr)]
    return [Frame(time, picture) for time, picture in zip(times, pixels, strict=False)]
