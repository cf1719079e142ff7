"""A timeline, 1080×1920 with captions and music: by ytray, by the encoder alone, by MoviePy; and a long one.

All sides encode with the same settings of libx264. Arguments: how many scenes the short timeline has, and the long one.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from moviepy import AudioFileClip, CompositeVideoClip, ImageClip, TextClip, concatenate_videoclips
from timelines import Kept, timeline

from ytray.studio.render.compose import compose
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.quality.gate import examine
from ytray.studio.render.text.captions import captions_of
from ytray.studio.render.text.fonts import BOLD
from ytray.studio.render.timeline import FRAMES_PER_SECOND, Timeline, TimelineScene

ENCODER = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", "-g", "60", "-flags", "+cgop"]


def main(short: int, long: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="ytray-bench-") as name:
        folder = Path(name)
        asked = timeline(folder, short)
        kept = Kept(folder / "kept")
        video = folder / "video.mp4"
        memory = Memory()
        with memory:
            compose(asked, video, kept=kept)
        # Both in turn, and the medians: a shared machine is not equally fast all the time.
        pairs = [(_seconds(lambda: compose(asked, video)), _encoder_alone(video, folder)) for _ in range(3)]
        own, encoder = (statistics.median(figures) for figures in zip(*pairs, strict=True))
        found = {
            "video_seconds": asked.seconds,
            "own_seconds": own,
            "peak_mb": memory.peak / 1e6,
            "changed_seconds": _seconds(lambda: compose(_changed(asked), folder / "changed.mp4", kept=kept)),
            "gate_seconds": _seconds(lambda: examine(video, asked)),
            "encoder_seconds": encoder,
        }
        by_moviepy = asked.model_copy(update={"renderer": "moviepy"})
        found["moviepy_renderer_seconds"] = _seconds(lambda: compose(by_moviepy, folder / "second.mp4"))
        found["moviepy_seconds"] = _seconds(lambda: _moviepy(asked, folder / "moviepy.mp4"))
        longer = timeline(folder, long)
        memory = Memory()
        with memory:
            found["long_own_seconds"] = _seconds(lambda: compose(longer, folder / "long.mp4"))
        found |= {"long_seconds": longer.seconds, "long_peak_mb": memory.peak / 1e6}
        print(json.dumps(found))


def _changed(asked: Timeline) -> Timeline:
    scenes = list(asked.scenes)
    middle = len(scenes) // 2
    words = [word.model_copy(update={"text": word.text.upper()}) for word in scenes[middle].words]
    scenes[middle] = scenes[middle].model_copy(update={"words": words})
    return asked.model_copy(update={"scenes": scenes})


def _encoder_alone(video: Path, folder: Path) -> float:
    raw = folder / "frames.yuv"
    _ffmpeg("-i", str(video), "-f", "rawvideo", "-pix_fmt", "yuv420p", str(raw))
    os.sync()  # writing it back would take time from what is measured
    ready = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "1080x1920", "-r", str(FRAMES_PER_SECOND), "-i", str(raw)]
    seconds = _seconds(lambda: _ffmpeg(*ready, *ENCODER, str(folder / "encoded.mp4")))
    raw.unlink()
    return seconds


def _moviepy(asked: Timeline, output: Path) -> None:
    """The same as people write it with MoviePy: stills that zoom, captions (without the lit word), narration."""
    clips = [_moviepy_scene(asked, scene) for scene in asked.scenes]
    whole = concatenate_videoclips(clips)
    parameters = ["-crf", "20", "-pix_fmt", "yuv420p"]
    whole.write_videofile(
        str(output), fps=FRAMES_PER_SECOND, preset="veryfast", threads=2, logger=None, ffmpeg_params=parameters
    )


def _moviepy_scene(asked: Timeline, scene: TimelineScene) -> CompositeVideoClip:
    still = ImageClip(scene.picture).with_duration(scene.length).resized(asked.size)
    zooming = still.resized(lambda at: 1 + 0.1 * at / scene.length).with_position("center")
    drawn = [
        TextClip(font=str(BOLD), text=caption.text, font_size=88, color="white", stroke_color="black", stroke_width=6)
        .with_start(caption.start)
        .with_duration(caption.end - caption.start)
        .with_position(("center", round(asked.height * 0.7)))
        for caption in captions_of(scene.words, until=scene.length)
    ]
    clip = CompositeVideoClip([zooming, *drawn], size=asked.size).with_duration(scene.length)
    return clip.with_audio(AudioFileClip(scene.narration))


class Memory:
    """The most memory that this process and its children had at once, in bytes, beyond what it had before.

    Shared pages (of the program and its libraries) count once for each process: the figure errs on the high side.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        before = me.memory_info().rss
        while not self._over.wait(0.05):
            total = -before
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _ffmpeg(*arguments: str) -> None:
    subprocess.run([binary(), "-hide_banner", "-nostdin", "-y", "-v", "error", *arguments], check=True)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:3] or ("10", "200")))
