"""A timeline of ten scenes, 1080×1920 with captions: by ytray, by the encoder alone on ready frames, by MoviePy.

All sides encode with the same settings of libx264. Arguments: how many scenes of the ten to render (for trying things).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from moviepy import AudioFileClip, CompositeVideoClip, ImageClip, TextClip, concatenate_videoclips

from ytray.studio.model import Scene
from ytray.studio.providers import painter, speaker
from ytray.studio.render.captions import captions_of
from ytray.studio.render.compose import compose
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.fonts import BOLD
from ytray.studio.render.timeline import FRAMES_PER_SECOND, Timeline, TimelineScene, scene_of

SUBJECTS = ("cat", "ocean", "city", "bees", "coffee", "mountain", "moon", "tree", "book", "fire")
WORDS = "Look closely at this one: there is more."
ENCODER = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p"]


class Kept:
    """Scenes and sounds in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, name: str, _folder: Path) -> Path | None:
        """The part, if it is there."""
        return file if (file := self.folder / name).exists() else None

    def keep(self, name: str, file: Path) -> None:
        """Keep it."""
        shutil.copy(file, self.folder / name)


def main(number: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="ytray-bench-") as name:
        folder = Path(name)
        timeline = _timeline(folder, number)
        (folder / "kept").mkdir()
        kept = Kept(folder / "kept")
        video = folder / "video.mp4"
        memory = Memory()
        with memory:
            own = _seconds(lambda: compose(timeline, video, kept=kept))
        words = [word.model_copy(update={"text": word.text.upper()}) for word in timeline.scenes[number // 2].words]
        timeline.scenes[number // 2] = timeline.scenes[number // 2].model_copy(update={"words": words})
        changed = _seconds(lambda: compose(timeline, folder / "changed.mp4", kept=kept))
        found = {
            "video_seconds": timeline.seconds,
            "own_seconds": own,
            "changed_seconds": changed,
            "peak_mb": memory.peak / 1e6,
            "encoder_seconds": _encoder_alone(video, folder),
            "moviepy_seconds": _seconds(lambda: _moviepy(timeline, folder / "moviepy.mp4")),
        }
        print(json.dumps(found))


def _timeline(folder: Path, number: int) -> Timeline:
    scenes = []
    for place, subject in enumerate(SUBJECTS[:number]):
        picture, speech = folder / f"{place}.jpg", folder / f"{place}.wav"
        painter().draw(Scene(narration="", subject=subject, mood="bright"), "bench", (1350, 2400), picture)
        spoken = speaker().speak(WORDS, "en", speech)
        scenes.append(scene_of(place, picture, speech, spoken.words, spoken.seconds))
    return Timeline(width=1080, height=1920, scenes=scenes)


def _encoder_alone(video: Path, folder: Path) -> float:
    raw = folder / "frames.yuv"
    _ffmpeg("-i", str(video), "-f", "rawvideo", "-pix_fmt", "yuv420p", str(raw))
    ready = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "1080x1920", "-r", str(FRAMES_PER_SECOND), "-i", str(raw)]
    seconds = _seconds(lambda: _ffmpeg(*ready, *ENCODER, str(folder / "encoded.mp4")))
    raw.unlink()
    return seconds


def _moviepy(timeline: Timeline, output: Path) -> None:
    """The same by MoviePy: stills that zoom, captions, narration. (Its captions do not light the spoken word.)"""
    clips = [_moviepy_scene(timeline, scene) for scene in timeline.scenes]
    whole = concatenate_videoclips(clips)
    parameters = ["-crf", "20", "-pix_fmt", "yuv420p"]
    whole.write_videofile(
        str(output), fps=FRAMES_PER_SECOND, preset="veryfast", threads=2, logger=None, ffmpeg_params=parameters
    )


def _moviepy_scene(timeline: Timeline, scene: TimelineScene) -> CompositeVideoClip:
    size = (timeline.width, timeline.height)
    still = ImageClip(scene.picture).with_duration(scene.length).resized(size)
    zooming = still.resized(lambda at: 1 + 0.1 * at / scene.length).with_position("center")
    drawn = [
        TextClip(font=str(BOLD), text=caption.text, font_size=88, color="white", stroke_color="black", stroke_width=6)
        .with_start(caption.start)
        .with_duration(caption.end - caption.start)
        .with_position(("center", round(timeline.height * 0.7)))
        for caption in captions_of(scene.words, until=scene.length)
    ]
    # A background colour makes MoviePy four times as fast as its default of none.
    clip = CompositeVideoClip([zooming, *drawn], size=size, bg_color=(0, 0, 0)).with_duration(scene.length)
    return clip.with_audio(AudioFileClip(scene.narration))


class Memory:
    """The most memory that this process and its children had at once, in bytes, beyond what it had before."""

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


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _ffmpeg(*arguments: str) -> None:
    subprocess.run([binary(), "-hide_banner", "-nostdin", "-y", "-v", "error", *arguments], check=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else len(SUBJECTS))
