"""From a timeline to a finished video by one ffmpeg filter graph."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ytray.studio.render import ffmpeg
from ytray.studio.render.captions import captions_of, to_ass
from ytray.studio.render.fonts import BOLD, check_drawable
from ytray.studio.render.timeline import FRAMES_PER_SECOND, Timeline, TimelineScene

RENDERER = "ffmpeg zoompan+ass, libx264 veryfast crf 20"
_ENLARGED = 1.6  # stills are scaled so much larger than the video: zoompan moves in whole pixels of its input
_ZOOM = 0.10  # how far a scene zooms, as a share
_AUDIO_RATE = 48_000  # Hz
_LOUDNESS = "loudnorm=I=-14:TP=-1.5:LRA=11"  # LUFS and dBTP: what YouTube and TikTok play at; one pass
_COLOURS = ["-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv"]


def compose(timeline: Timeline, output: Path, progress: Callable[[float], None] = lambda _: None) -> None:
    """Render a timeline to an MP4 file (H.264, AAC) with its captions drawn in.

    Raises PermanentError when the caption font cannot draw the text or the disk is full, RenderFailed.
    """
    words = timeline.words()
    if timeline.captions:
        check_drawable(" ".join(word.text for word in words))
    with tempfile.TemporaryDirectory(prefix="ytray-compose-") as name:
        folder = Path(name)
        arguments: list[str] = []
        for place, scene in enumerate(timeline.scenes):
            # Names of our own: nothing that a user called a file can be read as part of the filter graph.
            (folder / f"picture{place}").symlink_to(scene.picture.resolve())
            (folder / f"speech{place}").symlink_to(scene.narration.resolve())
            arguments += ["-i", f"picture{place}", "-i", f"speech{place}"]
        if timeline.captions:
            (folder / "captions.ass").write_text(to_ass(captions_of(words), timeline.width, timeline.height), "utf-8")
            (folder / "fonts").mkdir()
            shutil.copy(BOLD, folder / "fonts")
        (folder / "graph").write_text(_graph(timeline))
        arguments += ["-/filter_complex", "graph", "-map", "[video]", "-map", "[sound]"]
        arguments += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p"]
        arguments += ["-g", str(2 * FRAMES_PER_SECOND), "-flags", "+cgop", *_COLOURS]
        arguments += ["-c:a", "aac", "-b:a", "192k", "-ar", str(_AUDIO_RATE), "-ac", "2", "-movflags", "+faststart"]
        ffmpeg.run(arguments, output, seconds=timeline.seconds, folder=folder, progress=progress)


def move_still(still: Path, seconds: int, size: tuple[int, int], frames_per_second: int, output: Path) -> None:
    """Make a silent clip of a still that slowly zooms. Size in pixels."""
    with tempfile.TemporaryDirectory(prefix="ytray-clip-") as name:
        folder = Path(name)
        (folder / "picture").symlink_to(still.resolve())
        frames = seconds * frames_per_second
        graph = _moving(frames, "in", size, frames_per_second)
        arguments = ["-i", "picture", "-vf", graph, "-frames:v", str(frames), "-c:v", "libx264", "-preset", "veryfast"]
        arguments += ["-crf", "20", "-pix_fmt", "yuv420p", *_COLOURS, "-movflags", "+faststart"]
        ffmpeg.run(arguments, output, seconds=seconds, folder=folder)


def _graph(timeline: Timeline) -> str:
    size = (timeline.width, timeline.height)
    chains: list[str] = []
    joined = ""
    for place, scene in enumerate(timeline.scenes):
        chains.append(f"[{2 * place}:v]{_moving(scene.frames, scene.motion, size, FRAMES_PER_SECOND)}[v{place}]")
        chains.append(f"[{2 * place + 1}:a]{_narration(scene)}[a{place}]")
        joined += f"[v{place}][a{place}]"
    chains.append(f"{joined}concat=n={len(timeline.scenes)}:v=1:a=1[pictures][speech]")
    captions = "ass=captions.ass:fontsdir=fonts," if timeline.captions else ""
    chains.append(f"[pictures]{captions}format=yuv420p[video]")
    chains.append(f"[speech]{_LOUDNESS},aresample={_AUDIO_RATE}[sound]")
    return ";\n".join(chains)


def _moving(frames: int, motion: str, size: tuple[int, int], frames_per_second: int) -> str:
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


def _narration(scene: TimelineScene) -> str:
    """Filters that make a narration exactly as long as its scene, without a click at either end."""
    seconds = scene.frames / FRAMES_PER_SECOND
    return (
        f"aresample={_AUDIO_RATE},aformat=channel_layouts=stereo,afade=t=in:d=0.01,"
        f"apad=whole_dur={seconds:.6f},atrim=end={seconds:.6f},asetpts=PTS-STARTPTS"
    )
