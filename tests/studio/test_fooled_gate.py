"""Films of a clip that are wrong by a little, in every way that somebody thought of: the quality gate passes none."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.studio import time_codes
from ytray.studio.model import Scene
from ytray.studio.providers import painter, speaker
from ytray.studio.render.compose import compose
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.quality.gate import examine
from ytray.studio.render.timeline import Timeline

_SAID = "Why do cats purr? Keep your first guess. Look for one small detail, and count to seven slowly."


def _ffmpeg(*arguments: str) -> None:
    subprocess.run([binary(), "-v", "error", "-y", *arguments], check=True)


def _of_clip(clip: Path, seconds: float = 4.0) -> Timeline:
    size = dict(zip(("width", "height"), time_codes.SIZE, strict=True))
    scene = {"clip": str(clip), "clip_from": 0.5, "clip_volume": 1, "seconds": seconds}
    return Timeline.model_validate({**size, "captions": False, "scenes": [scene]})


def _judged(video: Path, timeline: Timeline) -> dict[str, str]:
    checks = [check for check in examine(video, timeline).checks if check.name.startswith("clip")]
    return {check.name: check.told or check.state for check in checks}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Timeline]:
    """A slow pan over a drawn city while somebody speaks on the left; and the film of four seconds of it."""
    folder = tmp_path_factory.mktemp("pan")
    painter().draw(Scene(narration="", subject="city", mood="bright"), "pan", (700, 600), folder / "city.jpg")
    speaker().speak(_SAID, "en", folder / "said.wav")
    pan = "[0:v]fps=30,crop=320:568:x='t*24':y='8+4*sin(t)',format=yuv420p[v]"
    left = "[1:a]aformat=channel_layouts=mono,asplit[l][r];[r]volume=0.3[s];[l][s]join=inputs=2[a]"
    inputs = ["-loop", "1", "-i", str(folder / "city.jpg"), "-i", str(folder / "said.wav")]
    maps = ["-filter_complex", f"{pan};{left}", "-map", "[v]", "-map", "[a]", "-t", "6"]
    _ffmpeg(*inputs, *maps, *"-c:v libx264 -preset veryfast -crf 18 -c:a aac".split(), str(folder / "pan.mp4"))
    timeline = _of_clip(folder / "pan.mp4")
    compose(timeline, folder / "film.mp4")
    assert set(_judged(folder / "film.mp4", timeline).values()) == {"pass"}
    return folder / "film.mp4", timeline


def _later(frames: int, when: str) -> str:
    """Frames that stand so many later in the film are shown, at certain ones."""
    late = f"[b]trim=start_frame={frames},setpts=PTS-STARTPTS[c]"
    return f"split[a][b];{late};[a][c]overlay=enable='{when}'"


_QUICKER = "setpts=PTS/1.02,fps=30,tpad=stop=3:stop_mode=clone,trim=end_frame=120"


# What is done to the pictures and what to the sound, and what is told of each: one says nothing of the other.
_SPOILT = [
    ("trim=start_frame=2,setpts=PTS-STARTPTS,tpad=stop=2:stop_mode=clone", "0.07 s ahead", "anull", ""),
    ("tpad=start=2:start_mode=clone,trim=end_frame=120", "0.07 s behind", "adelay=100:all=1", "100 ms late"),
    (
        "drawbox=t=fill:color=black:enable='eq(n,60)'",
        "from 2.00 s on .* does not hold there",
        "atrim=start=0.1,asetpts=PTS-STARTPTS,apad=pad_dur=0.1",
        "100 ms early",
    ),
    (_later(10, "eq(n,60)"), "from 2.00 s on .* 0.33 s ahead", "adelay=67:all=1", "6[05] ms late|70 ms late"),
    (_later(3, "eq(n,60)"), "from 2.00 s on .* 0.10 s ahead", "atempo=1.02,apad=pad_dur=0.1", "ms early"),
    (_later(30, "between(n,60,80)"), "1.00 s ahead", "atempo=0.98", "ms late"),
    ("hflip", "have left and right exchanged", "channelmap=1|0", "on the left belongs to the right"),
    ("vflip", "have top and bottom exchanged", "anull", ""),
    (_QUICKER, "s ahead", "anull", ""),
]


@pytest.mark.parametrize(("pictures", "seen", "sound", "heard"), _SPOILT)
def test_the_gate_is_not_fooled(
    pictures: str, seen: str, sound: str, heard: str, film: tuple[Path, Timeline], tmp_path: Path
) -> None:
    video, timeline = film
    _ffmpeg("-i", str(video), "-vf", pictures, "-af", sound, str(tmp_path / "spoilt.mp4"))
    found = {check.name: check for check in examine(tmp_path / "spoilt.mp4", timeline).checks}
    for name, told in (("clip_pictures", seen), ("clip_sounds", heard)):
        assert found[name].state == ("fail" if told else "pass"), found[name]
        if told:
            assert re.search(f"scene 1: .*{told}" if "|" not in told else told, found[name].told or ""), found[name]


# What moves little, much, evenly or at random; each encoded well and badly.
_MOVING = {
    "it fades in slowly": "color=gray:s=160x284:r=30,fade=in:0:120",
    "soft colours fade in": "testsrc2=s=160x284:r=30,gblur=15,fade=in:0:120",
    "grain": "color=gray:s=160x284:r=30,noise=alls=40:allf=t",
    "nothing moves": "color=gray:s=160x284:r=30",
    "60 a second, each unlike the one before": "color=black:s=80x142:r=60,geq=lum=mod(N\\,2)*255:cb=128:cr=128",
    "life": "life=s=80x142:r=60:ratio=0.3:seed=1,scale=160:284",
    "cinema": "testsrc2=s=160x284:r=24000/1001",
    "15 a second": "testsrc2=s=160x284:r=15",
}


@pytest.mark.parametrize("moving", _MOVING)
def test_a_film_that_was_encoded_badly_is_still_right(moving: str, home: Path, tmp_path: Path) -> None:
    assert home.is_dir()
    clip, video = tmp_path / "clip.mp4", tmp_path / "film.mp4"
    encoded = "-t 4 -c:v libx264 -preset veryfast -crf 34 -pix_fmt yuv420p".split()
    _ffmpeg("-f", "lavfi", "-i", _MOVING[moving], *encoded, str(clip))
    timeline = _of_clip(clip, 2.5)
    compose(timeline, video)
    _ffmpeg("-i", str(video), "-crf", "32", "-c:a", "copy", str(tmp_path / "again.mp4"))
    for file in (video, tmp_path / "again.mp4"):
        assert set(_judged(file, timeline).values()) == {"pass"}
