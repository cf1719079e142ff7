"""Scenes as they come out of the renderers: stills and clips of any shape, crossfades, effects, both renderers."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.studio.measure import Pixels, frames, solid, ssim
from ytray.errors import DiskFull, PermanentError
from ytray.studio.model import Scene, Word
from ytray.studio.providers import painter
from ytray.studio.render import ffmpeg, ffmpeg_renderer, rendering
from ytray.studio.render.compose import Composed, compose
from ytray.studio.render.encoders import CPU, Encoder
from ytray.studio.render.probe import probe
from ytray.studio.render.timeline import Effect, Renderer, Timeline, TimelineScene

RED, BLUE = (200, 0, 0), (0, 0, 200)
TINT = """
from dataclasses import dataclass
import numpy as np
from moviepy import Effect

@dataclass
class Tint(Effect):
    level: int

    def apply(self, clip):
        def tinted(frame):
            made = np.zeros_like(frame)
            made[:, :, CHANNEL] = self.level
            return made
        return clip.image_transform(tinted)
"""


def rendered(tmp_path: Path, *scenes: TimelineScene, size: tuple[int, int] = (180, 320), **chosen: Any) -> Path:
    """A video of scenes without sound."""
    video = tmp_path / "video.mp4"
    compose(Timeline(width=size[0], height=size[1], scenes=list(scenes), **chosen), video)
    return video


def clip_of(path: Path, graph: str, *more: str) -> str:
    arguments = ["-f", "lavfi", "-i", graph, *more, str(path)]
    subprocess.run([ffmpeg.binary(), "-hide_banner", "-v", "error", "-y", *arguments], check=True)
    return str(path)


@pytest.fixture(scope="module")
def cat(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A drawn still, larger than the videos here."""
    picture = tmp_path_factory.mktemp("cat") / "cat.jpg"
    painter().draw(Scene(narration="", subject="cat", mood="bright"), "scenes", (450, 800), picture)
    return str(picture)


@pytest.mark.parametrize("size", [(180, 320), (320, 180), (240, 240), (256, 320)])
@pytest.mark.parametrize("shape", [(400, 100), (100, 400), (3, 3)])
def test_a_still_of_any_shape_fills_a_video_of_any_shape(
    tmp_path: Path, size: tuple[int, int], shape: tuple[int, int]
) -> None:
    picture = str(solid(tmp_path / "p.png", shape, RED))
    for fit in ("crop", "blur"):
        video = rendered(tmp_path, TimelineScene(picture=picture, seconds=0.2, fit=fit), size=size)
        (first, *_) = frames(video, 30, *size)
        assert first.shape == (size[1], size[0], 3)
        assert (first.reshape(-1, 3)[:, 0] > 120).all(), "red everywhere, if darker where it is blurred"
        assert (first.reshape(-1, 3)[:, 2] < 40).all()


def test_a_blurred_fill_shows_the_whole_picture_and_a_crop_its_middle(tmp_path: Path) -> None:
    halves = np.zeros((100, 400, 3), np.uint8)
    halves[:, :200], halves[:, 200:] = RED, BLUE
    picture = str(solid(tmp_path / "p.png", (400, 100), RED, halves))
    scene = TimelineScene(picture=picture, seconds=0.1, motion="none", fit="blur")
    (whole, *_) = frames(rendered(tmp_path, scene), 30, 180, 320)
    middle = whole[160]
    assert tuple(middle[20] > 150) == (True, False, False)
    assert tuple(middle[160] > 150) == (False, False, True)
    assert whole[20].max() < 170  # darkened above and below
    assert whole[20, 90].max() > 20


def test_a_clip_plays_from_where_it_is_told_and_its_last_frame_stands(tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "clip.mp4", "color=red:s=160x160:r=25:d=1,fade=out:0:25:color=blue")
    scene = TimelineScene(clip=clip, clip_from=0.5, seconds=2)
    shown = frames(rendered(tmp_path, scene), 10, 180, 320)
    assert len(shown) == 20
    red = [float(frame[:, :, 0].mean()) for frame in shown]
    assert red[0] == pytest.approx(127, abs=20)
    assert all(after <= before + 1 for before, after in pairwise(red))
    assert max(red[6:]) < 20
    assert min(float(frame[:, :, 2].mean()) for frame in shown[6:]) > 200


def test_a_clip_of_variable_frame_rate_keeps_its_time(tmp_path: Path) -> None:
    """Half a second at 50 frames a second, half a second at 5: the change from red to blue stays where it was."""
    fast = clip_of(tmp_path / "fast.mp4", "color=red:s=160x160:r=50:d=0.5")
    slow = clip_of(tmp_path / "slow.mp4", "color=blue:s=160x160:r=5:d=1")
    (tmp_path / "list").write_text(f"file {Path(fast).name}\nfile {Path(slow).name}\n")
    clip = tmp_path / "vfr.mkv"
    joining = ["-f", "concat", "-safe", "0", "-i", "list", "-c", "copy", clip.name]
    subprocess.run([ffmpeg.binary(), "-v", "error", *joining], cwd=tmp_path, check=True)
    shown = frames(rendered(tmp_path, TimelineScene(clip=str(clip), seconds=1.2)), 30, 180, 320)
    is_blue = [bool(frame[:, :, 2].mean() > 100) for frame in shown]
    assert is_blue.index(True) == pytest.approx(15, abs=1)
    assert is_blue == sorted(is_blue)


def test_a_clip_is_cut_in_the_middle_of_a_picture_that_stands_long(tmp_path: Path) -> None:
    """Red, green and blue for two seconds each, as in a GIF or a recorded screen; from the first second on."""
    pieces = [clip_of(tmp_path / f"{c}.png", f"color={c}:s=160x160", "-frames:v", "1") for c in ("red", "lime", "blue")]
    (tmp_path / "list").write_text("".join(f"file {Path(piece).name}\nduration 2\n" for piece in pieces))
    joining = ["-f", "concat", "-safe", "0", "-i", "list", "-fps_mode", "vfr", "slow.gif"]
    subprocess.run([ffmpeg.binary(), "-v", "error", *joining], cwd=tmp_path, check=True)
    scene = TimelineScene(clip=str(tmp_path / "slow.gif"), clip_from=1, seconds=3.5)
    shown = frames(rendered(tmp_path, scene), 10, 180, 320)
    assert [int(frame.mean(axis=(0, 1)).argmax()) for frame in shown] == [0] * 10 + [1] * 20 + [2] * 5


def test_a_clip_whose_sound_is_longer_than_its_picture_stands_on_its_last_frame(tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "clip.mp4", "color=blue:s=160x160:r=25:d=1", "-f", "lavfi", "-i", "sine=300:d=3")
    shown = frames(rendered(tmp_path, TimelineScene(clip=clip, clip_from=0.5, seconds=5)), 10, 180, 320)
    assert len(shown) == 50
    assert min(float(frame[:, :, 2].mean()) for frame in shown) > 200


def test_two_clips_that_let_through_fade_into_each_other(tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "a.mov", "color=red@0.5:s=160x160:d=1,format=argb", "-c:v", "qtrle")
    scenes = TimelineScene(clip=clip, seconds=0.6, crossfade=0.3), TimelineScene(clip=clip, seconds=0.6)
    assert len(frames(rendered(tmp_path, *scenes), 30, 180, 320)) == 36


def test_a_turned_clip_stands_upright(tmp_path: Path) -> None:
    lying = clip_of(tmp_path / "l.mp4", "color=red:s=320x180:d=0.3,drawbox=w=160:c=blue:t=fill")
    turned = tmp_path / "turned.mp4"
    arguments = ["-display_rotation", "90", "-i", lying, "-c", "copy", str(turned)]
    subprocess.run([ffmpeg.binary(), "-v", "error", *arguments], check=True)
    (first, *_) = frames(rendered(tmp_path, TimelineScene(clip=str(turned), seconds=0.2)), 30, 180, 320)
    assert (first[40, 90] > 100).tolist() != (first[280, 90] > 100).tolist()  # its halves lie above each other
    assert first[40, 20].tolist() == pytest.approx(first[40, 160].tolist(), abs=12)


def test_what_a_clip_lets_through_is_black(tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "a.mov", "color=red@0.0:s=160x160:d=0.2,format=argb", "-c:v", "qtrle")
    assert probe(Path(clip)).has_alpha
    (first, *_) = frames(rendered(tmp_path, TimelineScene(clip=clip, seconds=0.2)), 30, 180, 320)
    assert first.max() < 12


def test_a_crossfade_goes_evenly_from_one_scene_to_the_next(tmp_path: Path) -> None:
    red, blue = (str(solid(tmp_path / f"{c}.png", (90, 160), c)) for c in (RED, BLUE))
    scenes = TimelineScene(picture=red, seconds=1, crossfade=0.5), TimelineScene(picture=blue, seconds=1)
    shown = frames(rendered(tmp_path, *scenes), 30, 180, 320)
    assert len(shown) == 60
    share = shown[:, 160, 90, 2] / 200
    assert share[14] < 0.03
    assert share[30] > 0.97
    assert all(after - before < 0.12 for before, after in pairwise(share[14:31]))
    assert share[22] == pytest.approx(0.5, abs=0.1)


def test_both_renderers_look_the_same(tmp_path: Path, cat: str) -> None:
    clip = clip_of(tmp_path / "clip.mp4", "testsrc2=s=320x240:r=25:d=1")
    words = [Word(text="Look", start=0.1, end=0.4), Word(text="closely.", start=0.4, end=0.9)]
    timeline = Timeline(
        width=270,
        height=480,
        scenes=[
            TimelineScene(picture=cat, seconds=1, words=words, crossfade=0.3),
            TimelineScene(clip=clip, seconds=1, fit="blur"),
            TimelineScene(picture=cat, seconds=0.6, motion="left"),
        ],
    )
    shown: dict[Renderer, Pixels] = {}
    renderers: tuple[Renderer, ...] = ("ffmpeg", "moviepy")
    for renderer in renderers:
        video = tmp_path / f"{renderer}.mp4"
        made = compose(timeline.model_copy(update={"renderer": renderer}), video)
        assert made.renderers == (renderer,)
        shown[renderer] = frames(video, 30, 270, 480)
    assert len(shown["ffmpeg"]) == len(shown["moviepy"]) == timeline.frames
    likeness = [ssim(one, other) for one, other in zip(shown["ffmpeg"][::5], shown["moviepy"][::5], strict=True)]
    assert min(likeness) > 0.93
    assert ssim(shown["ffmpeg"][2], shown["moviepy"][40]) < 0.6  # the measure can tell pictures apart


def test_a_scene_with_an_effect_is_rendered_by_moviepy_and_the_others_by_ffmpeg(tmp_path: Path, cat: str) -> None:
    grey = TimelineScene(picture=cat, seconds=0.4, effects=[Effect(name="BlackAndWhite")])
    turned = TimelineScene(
        picture=cat, seconds=0.4, effects=[Effect(name="MirrorX"), Effect(name="Rotate", arguments={"angle": 90})]
    )
    plain = TimelineScene(picture=cat, seconds=0.4)
    video = tmp_path / "video.mp4"
    made = compose(Timeline(width=180, height=320, scenes=[grey, plain, turned]), video)
    assert made == Composed(("ffmpeg", "moviepy"), CPU.name, parts=3, kept=0)
    shown = frames(video, 30, 180, 320).astype(int)
    assert len(shown) == 36
    assert _colour(shown[5]) < 4 < _colour(shown[17])


def _colour(frame: Any) -> float:
    return float(np.abs(frame[:, :, 0] - frame[:, :, 2]).mean())


def test_an_effect_of_the_users_own_module_is_applied_as_it_is_now(
    tmp_path: Path, cat: str, monkeypatch: pytest.MonkeyPatch, with_settings: Callable[..., None]
) -> None:
    module = tmp_path / "sparkle.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    with_settings(imports=("sparkle",))
    scene = TimelineScene(picture=cat, seconds=0.2, effects=[Effect(name="sparkle.Tint", arguments={"level": 250})])
    for channel, later in ((0, 0), (2, 10)):
        module.write_text(TINT.replace("CHANNEL", str(channel)))
        os.utime(module, (time.time() + later,) * 2)
        (shown, *_) = frames(rendered(tmp_path, scene), 30, 180, 320)
        assert [int(value > 200) for value in shown[100, 90]] == [int(place == channel) for place in range(3)]


@pytest.mark.parametrize(
    ("effect", "told"),
    [
        (Effect(name="BlackAndWite"), "did you mean 'BlackAndWhite'"),
        (Effect(name="Rotate", arguments={"degrees": 3}), r"Rotate takes \(angle"),
        (Effect(name="os.system"), "YTRAY_IMPORTS"),
        (Effect(name="inspect"), "no MoviePy effect"),
    ],
)
def test_an_effect_that_cannot_be_made_is_refused_by_name(tmp_path: Path, cat: str, effect: Effect, told: str) -> None:
    with pytest.raises(PermanentError, match=told):
        rendered(tmp_path, TimelineScene(picture=cat, seconds=0.2, effects=[effect]))
    assert not (tmp_path / "video.mp4").exists()


def test_an_encoder_that_fails_in_earnest_is_passed_over(
    tmp_path: Path, cat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a card's does when all of its sessions are taken; its probe has succeeded before."""
    card = Encoder("a card", (*CPU.encoding, "-x264-params", "no-such-option-at-all=1", "-xerror", "-tune", "nothing"))
    monkeypatch.setattr(rendering, "encoders", lambda: (card, CPU))
    made = compose(
        Timeline(width=180, height=320, scenes=[TimelineScene(picture=cat, seconds=0.2)]), tmp_path / "v.mp4"
    )
    assert made.encoder == CPU.name


def test_parts_that_were_encoded_unlike_are_encoded_again_alike(
    tmp_path: Path, cat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Encoder("a card", (*CPU.encoding, "-crf", "30"))
    render, calls = ffmpeg_renderer.render, []

    def failing_once(part: Any, encoder: Encoder, *rest: Any) -> None:
        calls.append(encoder.name)
        if calls == ["a card"]:
            raise ffmpeg.RenderFailed("the card is taken")
        render(part, encoder, *rest)

    monkeypatch.setattr(rendering, "encoders", lambda: (card, CPU))
    monkeypatch.setitem(rendering._RENDERERS, "ffmpeg", failing_once)
    scenes = [TimelineScene(picture=cat, seconds=0.2), TimelineScene(picture=cat, seconds=0.3)]
    made = compose(Timeline(width=180, height=320, scenes=scenes), tmp_path / "v.mp4")
    assert made.encoder == CPU.name
    assert len(frames(tmp_path / "v.mp4", 30, 180, 320)) == 15


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0 cut off"])
@pytest.mark.parametrize("what", ["picture", "clip"])
def test_what_cannot_be_read_is_named_and_leaves_nothing(tmp_path: Path, what: str, content: bytes) -> None:
    bad = tmp_path / "bad file.mp4"
    bad.write_bytes(content)
    with pytest.raises(PermanentError, match=r"bad file\.mp4"):
        rendered(tmp_path, TimelineScene(**{what: str(bad)}, seconds=0.2))
    assert [path.name for path in tmp_path.iterdir()] == [bad.name]


def test_a_clip_without_a_picture_is_refused(tmp_path: Path) -> None:
    sound = clip_of(tmp_path / "sound.m4a", "sine=300:d=0.3")
    with pytest.raises(PermanentError, match=r"sound\.m4a has no picture"):
        rendered(tmp_path, TimelineScene(clip=sound, seconds=0.2))


def test_a_full_disk_is_told_plainly(tmp_path: Path, cat: str) -> None:
    beside = ["-i", cat, "-f", "rawvideo", "/dev/full", "-f", "rawvideo"]  # a device that is always full
    with pytest.raises(DiskFull, match="the disk is full"):
        ffmpeg.run(beside, tmp_path / "x.yuv", seconds=0, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
