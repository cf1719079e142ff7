"""One scene of a timeline: a silent piece of video with its captions drawn in, ready to be joined without encoding."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic_core import to_json

from ytray.errors import PermanentError
from ytray.studio.render import ffmpeg
from ytray.studio.render.captions import captions_of, to_ass
from ytray.studio.render.digests import digest
from ytray.studio.render.fonts import BOLD, check_drawable
from ytray.studio.render.timeline import FRAMES_PER_SECOND, Timeline, TimelineScene

RENDERER = "ffmpeg zoompan+ass, libx264 veryfast crf 20"
_ENLARGED = 1.6  # stills are scaled so much larger than the video: zoompan moves in whole pixels of its input
_ZOOM = 0.10  # how far a scene zooms, as a share
_LOOKS = 1  # raised when scenes come out different from what they were: kept ones are then no longer used
_COLOURS = ["-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv"]
# The same for every scene, so that their pieces can stand in one stream; each begins with a key frame of its own.
_ENCODER = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p"]
_ENCODER += ["-g", str(2 * FRAMES_PER_SECOND), "-flags", "+cgop", *_COLOURS]
_ENCODER += ["-video_track_timescale", str(512 * FRAMES_PER_SECOND)]


def scene_name(timeline: Timeline, scene: TimelineScene) -> str:
    """A file name that stands for all that goes into a scene's picture: two scenes of the same name look the same."""
    parts = [
        _LOOKS,
        RENDERER,
        timeline.width,
        timeline.height,
        scene.frames,
        scene.motion,
        digest(Path(scene.picture)),
        _captions(timeline, scene),
        digest(BOLD) if timeline.captions else "",
    ]
    return f"scene-{hashlib.sha256(to_json(parts)).hexdigest()[:40]}.mp4"


def render_scene(
    timeline: Timeline, scene: TimelineScene, output: Path, progress: Callable[[float], None] = lambda _: None
) -> None:
    """Render one scene to `output`, an MP4 without sound.

    Raises PermanentError when the picture cannot be read, the caption font cannot draw the text, or the disk is full;
    RenderFailed.
    """
    if timeline.captions:
        check_drawable(" ".join(word.text for word in scene.words))
    size = (timeline.width, timeline.height)
    with tempfile.TemporaryDirectory(prefix="ytray-scene-") as name:
        folder = Path(name)
        # A name of our own: nothing that a user called a file can be read as part of the filter graph.
        (folder / "picture").symlink_to(Path(scene.picture).resolve())
        graph = moving(scene.frames, scene.motion, size, FRAMES_PER_SECOND)
        if timeline.captions:
            (folder / "captions.ass").write_text(_captions(timeline, scene), "utf-8")
            (folder / "fonts").mkdir()
            shutil.copy(BOLD, folder / "fonts")
            graph += ",ass=captions.ass:fontsdir=fonts"
        arguments = ["-i", "picture", "-vf", f"{graph},format=yuv420p", "-frames:v", str(scene.frames), *_ENCODER]
        try:
            ffmpeg.run(arguments, output, seconds=scene.length, folder=folder, progress=progress)
        except ffmpeg.RenderFailed as failed:
            if "Error opening input" in str(failed):
                raise PermanentError(f"{Path(scene.picture).name} is no picture that can be read") from failed
            raise


def move_still(still: Path, seconds: int, size: tuple[int, int], frames_per_second: int, output: Path) -> None:
    """Make a silent clip of a still that slowly zooms. Size in pixels."""
    with tempfile.TemporaryDirectory(prefix="ytray-clip-") as name:
        folder = Path(name)
        (folder / "picture").symlink_to(still.resolve())
        frames = seconds * frames_per_second
        graph = moving(frames, "in", size, frames_per_second)
        arguments = ["-i", "picture", "-vf", graph, "-frames:v", str(frames), "-c:v", "libx264", "-preset", "veryfast"]
        arguments += ["-crf", "20", "-pix_fmt", "yuv420p", *_COLOURS, "-movflags", "+faststart"]
        ffmpeg.run(arguments, output, seconds=seconds, folder=folder)


def moving(frames: int, motion: str, size: tuple[int, int], frames_per_second: int) -> str:
    """Filters that turn a still into `frames` frames: cropped to fill, enlarged, slowly zoomed or panned."""
    width, height = size
    large_width, large_height = (round(side * _ENLARGED / 2) * 2 for side in size)
    share = f"on/{max(1, frames - 1)}"
    zoom, x, y = {
        "in": (f"1+{_ZOOM}*{share}", "(iw-iw/zoom)/2", "(ih-ih/zoom)/2"),
        "out": (f"{1 + _ZOOM}-{_ZOOM}*{share}", "(iw-iw/zoom)/2", "(ih-ih/zoom)/2"),
        "right": (f"{1 + _ZOOM}", f"(iw-iw/zoom)*{share}", "(ih-ih/zoom)/2"),
        "left": (f"{1 + _ZOOM}", f"(iw-iw/zoom)*(1-{share})", "(ih-ih/zoom)/2"),
    }[motion]
    return (
        f"scale={large_width}:{large_height}:force_original_aspect_ratio=increase:flags=bicubic:out_color_matrix=bt709,"
        f"crop={large_width}:{large_height},"
        f"zoompan=z='{zoom}':x='{x}':y='{y}':d={frames}:s={width}x{height}:fps={frames_per_second},setsar=1"
    )


def _captions(timeline: Timeline, scene: TimelineScene) -> str:
    if not timeline.captions:
        return ""
    return to_ass(captions_of(scene.words, until=scene.length), timeline.width, timeline.height)
