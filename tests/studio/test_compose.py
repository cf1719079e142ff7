"""Composition, measured on the decoded video."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.studio.conftest import Composed
from tests.studio.measure import decoded_seconds, frames, loudness, samples
from ytray.errors import PermanentError
from ytray.studio.model import Word
from ytray.studio.render import ffmpeg
from ytray.studio.render.compose import compose
from ytray.studio.render.probe import probe
from ytray.studio.render.timeline import Timeline


def test_the_video_has_the_size_of_its_timeline_and_the_codecs_that_every_platform_plays(composed: Composed) -> None:
    found = probe(composed.video)
    assert (found.width, found.height, found.frames_per_second) == (270, 480, 30)
    assert (found.video_codec, found.audio_codec) == ("h264", "aac")
    assert composed.video.read_bytes()[:4096].find(b"moov") > 0  # it can start playing before all of it is loaded


def test_a_video_is_written_where_a_relative_path_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 96), "teal").save("still.png")
    scenes = [{"picture": "still.png", "seconds": 0.2}]
    compose(Timeline.model_validate({"width": 64, "height": 96, "captions": False, "scenes": scenes}), Path("made.mp4"))
    assert probe(tmp_path / "made.mp4").width == 64


def test_colours_are_tagged_so_that_players_agree(composed: Composed) -> None:
    said = subprocess.run([ffmpeg.binary(), "-i", str(composed.video)], capture_output=True, check=False).stderr
    assert b"yuv420p(tv, bt709, progressive)" in said


def test_pictures_and_sound_last_as_long_as_the_narration(composed: Composed) -> None:
    spoken = sum(scene.words[-1].end for scene in composed.timeline.scenes)
    assert spoken < composed.timeline.seconds < spoken + 1.5
    assert decoded_seconds(composed.video) == pytest.approx(composed.timeline.seconds, abs=0.001)
    assert len(samples(composed.video)) / 16_000 == pytest.approx(composed.timeline.seconds, abs=0.06)


def test_the_picture_moves_and_is_never_black(composed: Composed) -> None:
    shown = frames(composed.video, 4).astype(int)
    assert all(frame.mean() > 25 and frame.std() > 10 for frame in shown)
    upper = shown[:, :110]  # above the captions
    assert all(np.abs(a - b).mean() > 0.15 for a, b in pairwise(upper))


def test_scenes_change_where_the_timeline_says(composed: Composed) -> None:
    shown = frames(composed.video, 30).astype(int)
    jumps = [float(np.abs(a - b).mean()) for a, b in pairwise(shown)]
    assert int(np.argmax(jumps)) + 1 == composed.timeline.scenes[0].frames


def test_the_motion_is_even(composed: Composed) -> None:
    """A zoom in whole pixels would stand still and jump in turns."""
    upper = frames(composed.video, 30, 270, 480)[: composed.timeline.scenes[0].frames, :275].astype(int)
    steps = np.array([np.abs(a - b).mean() for a, b in pairwise(upper)])
    assert steps.min() > 0
    assert steps.max() < 6 * np.median(steps)


def test_the_sound_is_as_loud_as_the_platforms_play_it(composed: Composed) -> None:
    integrated, peak = loudness(composed.video)
    assert integrated == pytest.approx(-14, abs=1.0)
    assert peak <= -1.0


def test_the_voice_is_heard_where_the_captions_say(composed: Composed) -> None:
    sound = np.abs(samples(composed.video).astype(np.int32))
    for word in composed.timeline.words():
        assert sound[int(word.start * 16_000) : int(word.end * 16_000)].max() > 1000, word.text


def test_captions_are_drawn_where_the_words_are_spoken(composed: Composed, tmp_path: Path) -> None:
    plain = tmp_path / "plain.mp4"
    compose(composed.timeline.model_copy(update={"captions": False}), plain)
    changed = np.abs(frames(composed.video, 5).astype(int) - frames(plain, 5)).max(axis=(2, 3))
    rows = np.nonzero(changed.max(axis=0) > 90)[0]
    assert rows.min() > 110
    assert rows.max() < 150  # above what the platforms draw at the bottom of 192 rows
    words = composed.timeline.words()
    for place, frame in enumerate(changed):
        if any(word.start + 0.05 < place / 5 < word.end - 0.05 for word in words):
            assert frame.max() > 90


def test_progress_goes_up_to_one(composed: Composed) -> None:
    assert composed.told == sorted(composed.told)
    assert len(composed.told) > 2
    assert composed.told[-1] == pytest.approx(1.0, abs=0.02)


class _Kept:
    """Keeps scenes in a folder, and knows how many it was given."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.kept = folder, 0

    def has(self, name: str) -> bool:
        """Whether it is there."""
        return (self.folder / name).exists()

    def find(self, name: str, _folder: Path) -> Path | None:
        return file if (file := self.folder / name).exists() else None

    def keep(self, name: str, file: Path) -> None:
        self.kept += 1
        shutil.copy(file, self.folder / name)


def test_a_changed_caption_renders_one_scene_and_the_same_timeline_none(
    composed: Composed, timeline: Timeline, tmp_path: Path
) -> None:
    kept = _Kept(tmp_path)
    first, again, changed = (tmp_path / f"video{n}.mp4" for n in range(3))
    compose(timeline, first, kept=kept)
    assert kept.kept == 3  # two scenes and their sound
    compose(timeline, again, kept=kept)
    assert kept.kept == 3  # two scenes and their sound
    assert first.read_bytes() == again.read_bytes() == composed.video.read_bytes(), "the same input, the same bytes"
    words = [word.model_copy(update={"text": word.text.upper()}) for word in timeline.scenes[1].words]
    edited = timeline.scenes[1].model_copy(update={"words": words})
    compose(timeline.model_copy(update={"scenes": [timeline.scenes[0], edited]}), changed, kept=kept)
    assert kept.kept == 4
    assert decoded_seconds(changed) == pytest.approx(timeline.seconds, abs=0.001)


def test_a_timeline_survives_its_json(timeline: Timeline) -> None:
    assert Timeline.model_validate_json(timeline.model_dump_json()) == timeline


def test_a_text_without_glyphs_is_refused_before_anything_is_rendered(timeline: Timeline, tmp_path: Path) -> None:
    odd = timeline.scenes[0].model_copy(update={"words": [Word(text="\ue000", start=0, end=1)]})
    with pytest.raises(PermanentError, match=r"U\+E000"):
        compose(timeline.model_copy(update={"scenes": [odd]}), tmp_path / "v.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_picture_is_named_in_the_error(timeline: Timeline, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("not a picture")
    scene = timeline.scenes[0].model_copy(update={"picture": str(bad)})
    with pytest.raises(PermanentError, match=r"bad\.jpg"):
        compose(timeline.model_copy(update={"scenes": [scene]}), tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.jpg"]


def test_an_interrupted_render_leaves_no_file_and_no_ffmpeg(timeline: Timeline, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    before = _children()

    def stop(_: float) -> None:
        raise Stop

    with pytest.raises(Stop):
        compose(timeline, tmp_path / "video.mp4", stop)
    assert list(tmp_path.iterdir()) == []
    assert _children() == before


def test_a_killed_render_leaves_no_file_and_no_ffmpeg(
    timeline: Timeline, tmp_path: Path, until: Callable[..., None]
) -> None:
    program = (
        "import sys; from pathlib import Path; from ytray.studio.render.compose import compose;"
        "from ytray.studio.render.timeline import Timeline;"
        "compose(Timeline.model_validate_json(sys.stdin.read()), Path(sys.argv[1]), lambda s: print(s, flush=True))"
    )
    target = tmp_path / "video.mp4"
    render = subprocess.Popen(
        [sys.executable, "-c", program, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert render.stdin is not None
    assert render.stdout is not None
    render.stdin.write(timeline.model_dump_json())
    render.stdin.close()
    watchdog = threading.Timer(60, render.kill)
    watchdog.start()
    started: list[int] = []
    while render.stdout.readline() and not started:
        started = [child.pid for child in psutil.Process(render.pid).children(recursive=True)]
    assert started
    render.kill()
    render.wait()
    watchdog.cancel()
    until(lambda: not any(psutil.pid_exists(pid) for pid in started))
    assert not target.exists()


def _children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
