"""Filters that turn a scene's still or clip into frames of the video's size: motion, cropping, blurred fill."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ytray.errors import PermanentError
from ytray.studio.render.clips import normal_clip
from ytray.studio.render.frames import BT709, decoder, scaled, upright
from ytray.studio.render.parts import Shown
from ytray.studio.render.probe import Probed, probe, reading
from ytray.studio.render.stills import normal_still
from ytray.studio.render.timeline import FRAMES_PER_SECOND, Motion

ZOOM = 0.10  # how far a scene zooms, as a share
BLUR = 0.02  # of the blurred fill: its radius as a share of the wider side
DARKENED = 0.72  # the blurred fill is darkened to this share, so that the picture stands out
_MUCH_LONGER = 4.0  # times as long as the video's shape
_ENLARGED = 1.6  # stills are scaled so much larger than the video: zoompan moves in whole pixels of its input


@dataclass(frozen=True)
class Source:
    """An input of ffmpeg and the filters that make the frames of it; both name files in the working folder only."""

    arguments: tuple[str, ...]
    filters: str


def source_of(
    shown: Shown, frames: int, size: tuple[int, int], folder: Path, name: str, decoding: tuple[str, ...]
) -> Source:
    """How ffmpeg reads `frames` frames of what a scene shows. Puts a link called `name` into the working `folder`.

    Raises PermanentError, naming the file, when it cannot be read.
    """
    scene = shown.scene
    if scene.clip is not None:
        return _clip(shown, frames, size, folder, name, decoding)
    picture = normal_still(Path(scene.picture or ""), folder)
    # A name of our own: nothing that a user called a file can be read as part of the filter graph.
    (folder / name).symlink_to(picture.resolve())
    with Image.open(picture) as opened:
        seen = opened.size
    large = _enlarged(size)
    filled = _covering(large, seen) if scene.fit == "crop" else _over_blur(large, seen, name, inside=1 / (1 + ZOOM))
    share = f"((on+{shown.first})/{max(1, shown.in_all - 1)})"
    return Source(("-i", name), f"{filled},{_moving(frames, scene.motion, share, size, FRAMES_PER_SECOND, name)}")


def still_filters(frames: int, size: tuple[int, int], frames_per_second: int) -> str:
    """Filters for a still that slowly zooms in, by itself and not in a timeline."""
    share = f"(on/{max(1, frames - 1)})"
    return f"{_covering(_enlarged(size), size)},{_moving(frames, 'in', share, size, frames_per_second, 'still')}"


def window(motion: Motion, share: float) -> tuple[float, float, float]:
    """The part of a still that is seen when `share` (0 to 1) of its time is over: zoom, and where (x, y) it lies.

    x and y are 0 to 1: shares of what the zoom leaves unseen.
    """
    return {
        "in": (1 + ZOOM * share, 0.5, 0.5),
        "out": (1 + ZOOM - ZOOM * share, 0.5, 0.5),
        "right": (1 + ZOOM, share, 0.5),
        "left": (1 + ZOOM, 1 - share, 0.5),
        "none": (1.0, 0.5, 0.5),
    }[motion]


def _moving(frames: int, motion: Motion, share: str, size: tuple[int, int], frames_per_second: int, name: str) -> str:
    """zoompan, with the expressions of what `window` computes; `share` is one too.

    Luminance and colours are moved apart: together, in 4:2:0, zoompan would move both in steps of two pixels.
    """
    zoom, x = {
        "in": (f"1+{ZOOM}*{share}", "0.5"),
        "out": (f"{1 + ZOOM}-{ZOOM}*{share}", "0.5"),
        "right": (f"{1 + ZOOM}", share),
        "left": (f"{1 + ZOOM}", f"(1-{share})"),
        "none": ("1", "0.5"),
    }[motion]
    width, height = size

    def moved(plane: str, wide: int, high: int) -> str:
        seen = f"z='{zoom}':x='(iw-iw/zoom)*{x}':y='(ih-ih/zoom)/2'"
        zooming = f"zoompan={seen}:d={frames}:s={wide}x{high}:fps={frames_per_second}"
        return f"[{name}{plane}]{zooming},format=gray[{name}{plane}2]"

    planes = [moved("y", width, height), moved("u", width // 2, height // 2), moved("v", width // 2, height // 2)]
    return (
        f"format=yuv420p,extractplanes=y+u+v[{name}y][{name}u][{name}v];{';'.join(planes)};"
        f"[{name}y2][{name}u2][{name}v2]mergeplanes=map0s=0:map1s=1:map2s=2:format=yuv420p,{BT709},setsar=1"
    )


def _clip(
    shown: Shown, frames: int, size: tuple[int, int], folder: Path, name: str, decoding: tuple[str, ...]
) -> Source:
    scene = shown.scene
    given = Path(scene.clip or "")
    start = scene.clip_from + shown.first / FRAMES_PER_SECOND
    clip = normal_clip(given, folder, start)
    found = _probed(clip, given)
    if found.video_codec is None:
        raise PermanentError(f"{given.name} has no picture: a scene's clip must be a video")
    seen = found.width or size[0], found.height or size[1]
    fitting = _covering(size, seen) if scene.fit == "crop" else _over_blur(size, seen, name, inside=1.0)
    # What is read begins at the key picture before: the picture that stands at `start` may have come long before it.
    # Pictures that begin after the sound keep their distance: the first one stands until then. Behind the clip's end
    # stands its last picture, for ever.
    begins = ":start_time=0" if start < found.pictures_from else ""
    stands = "tpad=stop=-1:stop_mode=clone,trim=start=0,setpts=PTS-STARTPTS"
    cut = f"fps={FRAMES_PER_SECOND}{begins},{stands},trim=end_frame={frames}"
    chain = f"{cut},{upright(found, fitting, name)}"
    read = (*decoding, "-noaccurate_seek", "-ss", f"{start:.4f}", *decoder(found), *reading(clip, folder, name))
    return Source(read, chain)


def _probed(clip: Path, given: Path) -> Probed:
    """What a clip is that was made of a given one: messages call it by that one's name."""
    try:
        return probe(clip)
    except PermanentError as wrong:
        raise PermanentError(str(wrong).replace(clip.name, given.name, 1)) from wrong


def _enlarged(size: tuple[int, int]) -> tuple[int, int]:
    return round(size[0] * _ENLARGED / 2) * 2, round(size[1] * _ENLARGED / 2) * 2


def _covering(size: tuple[int, int], source: tuple[int, int]) -> str:
    """Scaled until it covers, and cropped; `source` is the picture's own size.

    A picture that is much longer than the video is cropped before, too: scaled whole, it would take any memory.
    """
    wide, high = size[0] / source[0], size[1] / source[1]
    first = ""
    if max(wide, high) > _MUCH_LONGER * min(wide, high):
        kept = [max(2, math.ceil(side / max(wide, high))) for side in size]
        first = f"crop='min(iw,{kept[0]})':'min(ih,{kept[1]})',"
    return f"{first}{scaled(size, ':force_original_aspect_ratio=increase')},crop={size[0]}:{size[1]}"


def _over_blur(size: tuple[int, int], source: tuple[int, int], name: str, *, inside: float) -> str:
    """Whole, in the middle of a blurred and darkened copy of itself; `inside` is the share of the frame it may take."""
    width, height = size
    small = max(2, width // 8) // 2 * 2, max(2, height // 8) // 2 * 2
    room = round(width * inside / 2) * 2, round(height * inside / 2) * 2
    scale = min(room[0] / source[0], room[1] / source[1])
    is_strip = min(source) * scale < 2  # a side of it would come out as none
    sigma, grey = BLUR * max(small), f"'128+(val-128)*{DARKENED}'"
    darkened = f"lutyuv=y='16+(val-16)*{DARKENED}':u={grey}:v={grey}"
    whole = (max(2, round(source[0] * scale)), max(2, round(source[1] * scale)))
    front = scaled(whole) if is_strip else scaled(room, ":force_original_aspect_ratio=decrease")
    return (
        f"split[{name}a][{name}b];"
        f"[{name}a]{_covering(small, source)},format=yuv444p,gblur=sigma={sigma:.2f}:steps=3,{darkened},"
        f"{scaled(size)},format=yuv420p[{name}f];"
        f"[{name}b]{front},format=yuv420p[{name}g];"
        f"[{name}f][{name}g]overlay=x=(W-w)/2:y=(H-h)/2:format=yuv420"
    )
