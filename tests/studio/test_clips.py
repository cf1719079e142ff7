"""Clips show what they hold, whatever container they come in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.studio import time_codes
from tests.studio.measure import frames as seen_frames
from tests.studio.time_codes import CONTAINERS, GROUPS
from ytray.studio.render.clips import normal_clip
from ytray.studio.render.compose import compose
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.probe import probe
from ytray.studio.render.quality.gate import examine
from ytray.studio.render.quality.report import Check
from ytray.studio.render.timeline import Timeline

SECONDS = 8.0


def timeline(clip: Path, start: float, seconds: float) -> Timeline:
    scene = {"clip": str(clip), "clip_from": start, "clip_volume": 1, "seconds": seconds}
    size = dict(zip(("width", "height"), time_codes.SIZE, strict=True))
    return Timeline.model_validate({**size, "captions": False, "scenes": [scene]})


def ffmpeg(*arguments: str) -> None:
    subprocess.run([binary(), "-v", "error", "-y", *arguments], check=True)


def of_clips(video: Path, wanted: Timeline) -> dict[str, Check]:
    return {check.name: check for check in examine(video, wanted).checks if check.name.startswith("clip")}


def check_pictures(clip: Path, start: float, seconds: float, folder: Path) -> None:
    video = folder / "video.mp4"
    compose(timeline(clip, start, seconds), video)
    shown = time_codes.read(video)
    first = round((start - probe(clip).pictures_from) * 30)
    last = round(SECONDS * 30) - 1
    wanted = [min(last, max(0, first + place)) for place in range(round(seconds * 30))]
    assert len(shown) == len(wanted)
    assert max(abs(one - other) for one, other in zip(shown, wanted, strict=True)) <= 1
    judged = of_clips(video, timeline(clip, start, seconds))
    assert {check.state for check in judged.values()} == {"pass"}, judged


@pytest.mark.parametrize(
    ("container", "group", "start"),
    [
        ("ts", "8 s", 4.3),
        ("program stream", "one", 0.0),
        ("flv", "0.5 s", 2.5),
        ("mp4 without an index", "one", 5.9),
        ("mkv without an index", "8 s", 4.3),
    ],
)
def test_a_clip_shows_its_own_pictures_from_where_it_is_cut(
    container: str, group: str, start: float, home: Path, tmp_path: Path
) -> None:
    assert home.is_dir()
    check_pictures(time_codes.made(tmp_path, container, GROUPS[group], SECONDS), start, 2.0, tmp_path)


@pytest.mark.chaos
@pytest.mark.timeout(3000)
def test_every_container_shows_its_own_pictures_from_everywhere(home: Path, tmp_path: Path) -> None:
    assert home.is_dir()
    for container in CONTAINERS:
        for name, group in GROUPS.items():
            clip = time_codes.made(tmp_path, container, group, SECONDS)
            for start in (0.0, 3.7, SECONDS - 1.5):
                check_pictures(clip, start, 5.0 if not start else 1.4, tmp_path)
            print(f"{container}, a key picture each {name}: right from the beginning, the middle and near the end")


def test_what_an_index_leads_to_is_read_where_it_lies(home: Path, tmp_path: Path) -> None:
    assert home.is_dir()
    clip = time_codes.made(tmp_path, "mp4", 30, 2.0)
    assert normal_clip(clip, tmp_path, 1.0) == clip


def test_a_clip_is_made_right_once_on_a_node(home: Path, tmp_path: Path) -> None:
    clip = time_codes.made(tmp_path, "ts", 30, 2.0)
    before = set((home / "cache" / "clips").glob("*"))
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        assert normal_clip(clip, folder).parent == folder
    kept = set((home / "cache" / "clips").glob("*")) - before - {home / "cache" / "clips" / "total"}
    assert len(kept) == 1
    assert normal_clip(clip, first).samefile(normal_clip(clip, second))


def test_pictures_that_begin_after_their_sound_keep_their_distance(home: Path, tmp_path: Path) -> None:
    assert home.is_dir()
    whole = time_codes.made(tmp_path, "mp4", 30, 4.0)
    late = tmp_path / "late.mp4"
    cut = [r"[0:v]select=gte(t\,0.8)[v]", "-map", "[v]", "-map", "0:a", "-c:v", "libx264", "-crf", "12", "-c:a", "aac"]
    ffmpeg("-i", str(whole), "-filter_complex", *cut, "-fps_mode", "passthrough", str(late))
    assert probe(late).pictures_from == pytest.approx(0.8, abs=0.04)
    compose(timeline(late, 0.0, 3.0), tmp_path / "video.mp4")
    shown = time_codes.read(tmp_path / "video.mp4")
    assert set(shown[:23]) == {24}  # the first picture stands until it is due
    assert abs(shown[60] - 60) <= 1
    assert {check.state for check in of_clips(tmp_path / "video.mp4", timeline(late, 0.0, 3.0)).values()} == {"pass"}


@pytest.mark.parametrize("ending", ["gif", "apng", "webp"])
def test_animated_pictures_are_clips_too(ending: str, home: Path, tmp_path: Path) -> None:
    assert home.is_dir()
    clip = tmp_path / f"drawn.{ending}"
    colours = "color=red:s=160x284:r=10:d=1[a];color=lime:s=160x284:r=10:d=1[b];[a][b]concat"
    ffmpeg("-f", "lavfi", "-i", colours, "-loop", "0", str(clip))
    compose(timeline(clip, 0.0, 2.0), tmp_path / "video.mp4")
    first, second = seen_frames(tmp_path / "video.mp4", 1, 16, 16)
    assert first.mean(axis=(0, 1)).argmax() == 0
    assert second.mean(axis=(0, 1)).argmax() == 1
