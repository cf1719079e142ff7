"""`ytray render` takes in the files that a timeline names."""

from __future__ import annotations

import codecs
import json
import os
import re
import socket
import time
import wave
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from ytray.artifacts import ArtifactStore
from ytray.cli.app import app
from ytray.cli.inside import Inside
from ytray.cli.videos import waiting
from ytray.engine.base.model import JobState, JobStatus
from ytray.errors import PermanentError
from ytray.studio.render import ffmpeg
from ytray.studio.render.given import check_given, cut_off
from ytray.studio.render.timeline import Timeline


def test_a_timelines_own_files_are_kept_once(home: Path, tmp_path: Path) -> None:
    assert home.is_dir()
    (tmp_path / "my song.MP3").write_bytes(b"la la")
    uri = Inside().adopt("my song.MP3", tmp_path)
    assert ArtifactStore().fetch(uri, tmp_path).read_bytes() == b"la la"
    assert Path(uri).name == "file.mp3"
    kept = Path(uri).stat().st_ino
    assert Inside().adopt("my song.MP3", tmp_path) == uri == Inside().adopt(uri, tmp_path)
    assert Path(uri).stat().st_ino == kept


def test_a_file_that_is_not_there_is_named_before_anything_is_submitted(home: Path, tmp_path: Path) -> None:
    assert home.is_dir()
    with pytest.raises(PermanentError, match=r"song\.mp3 is not there: no such file"):
        Inside().adopt("song.mp3", tmp_path)


def test_what_is_wrong_with_a_timeline_is_told_by_its_place(tmp_path: Path) -> None:
    file = tmp_path / "edited.json"
    scenes = [
        {"picture": "p.png", "seconds": 1},
        {"picture": "p.png", "seconds": 1, "words": [{"text": "a", "start": -1, "end": 1}]},
    ]
    file.write_bytes(codecs.BOM_UTF8 + json.dumps({"width": 180, "height": 320, "scenes": scenes}).encode())
    done = CliRunner().invoke(app, ["render", str(file)])
    assert done.exit_code == 2
    assert "scenes.2.words: word 1 ('a') begins before its scene" in " ".join(done.output.split())


@pytest.mark.parametrize(
    "name",
    ["song.mp3?download=1", "Dr. Smith portrait", "IMG_0001.JPG (2)", "photo 1.5 MB (final)", "фото.пнг", "a😀.png"],
)
def test_a_file_of_any_name_is_taken_in(name: str, home: Path, tmp_path: Path) -> None:
    assert home.is_dir()
    (tmp_path / name).write_bytes(name.encode())
    assert ArtifactStore().fetch(Inside().adopt(name, tmp_path), tmp_path).read_bytes() == name.encode()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of files, of which only `good.jpg` and `good.wav` can be used."""
    folder = tmp_path / "фото"
    folder.mkdir()
    Image.effect_noise((96, 160), 60).convert("RGB").save(folder / "good.jpg")
    with wave.open(str(folder / "good.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(b"\1\0" * 8000)
    for ending in ("png", "jpg", "webp"):
        Image.effect_noise((160, 96), 60).convert("RGB").save(folder / f"cut.{ending}")
        whole = (folder / f"cut.{ending}").read_bytes()
        (folder / f"cut.{ending}").write_bytes(whole[: len(whole) // 2])
    arguments = ["-f", "lavfi", "-i", "testsrc=d=1:s=64x64", "-c:v", "mpeg4"]
    ffmpeg.run(arguments, folder / "cut.mp4", seconds=1, folder=folder)
    (folder / "cut.mp4").write_bytes((folder / "cut.mp4").read_bytes()[:-900])
    (folder / "text.jpg").write_text("Dear all, " * 99)
    (folder / "empty.mp3").touch()
    (folder / "folder.jpg").mkdir()
    for pipe in ("pipe.jpg", "pipe.mp3"):
        os.mkfifo(folder / pipe)
    (folder / "zero.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(folder / "socket.jpg"))
    return folder


@pytest.mark.parametrize(
    ("what", "name", "told"),
    [
        ("picture", "cut.png", "is damaged or cut off: .*; save or send it again"),
        ("picture", "cut.jpg", "is damaged or cut off: .*; save or send it again"),
        ("picture", "cut.webp", "is no picture that can be read: .*; save or send it again"),
        ("picture", "text.jpg", "is no picture that can be read; give one in JPEG, PNG"),
        ("picture", "folder.jpg", "is no picture: it is a folder; give a file"),
        ("picture", "pipe.jpg", "is no picture: it is a pipe; give a file"),
        ("picture", "zero.jpg", "is no picture: it is a device; give a file"),
        ("picture", "socket.jpg", "is no picture: it is a socket; give a file"),
        ("picture", "none.jpg", "is not there: no such file"),
        ("picture", "/dev/zero", "is no picture: it is a device"),
        ("clip", "cut.mp4", "is not a readable media file: it is damaged or cut off; save or send it again"),
        ("clip", "good.jpg", "is not a readable media file: it is a still picture, not a video"),
        ("clip", "good.wav", "has no picture: a scene's clip must be a video"),
        ("narration", "empty.mp3", "is no .*: it is empty"),
        ("narration", "pipe.mp3", "is no .*: it is a pipe; give a file"),
        ("narration", "text.jpg", "is not .*: it holds no video or sound that is known; give an MP4"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_by_its_scene_at_once(
    what: str, name: str, told: str, files: Path, home: Path
) -> None:
    assert home.is_dir()
    scene = {"seconds": 0.2, **({} if what == "clip" else {"picture": "good.jpg"}), what: name}
    good = {"picture": "good.jpg", "narration": "good.wav", "seconds": 1.2}
    said = refused(files, {"scenes": [good, good, scene]})
    assert re.search(f"cannot be rendered: scene 3: {name} {told}", said)
    assert "file.jpg" not in said


def test_music_that_cannot_be_used_is_told(files: Path, home: Path) -> None:
    assert home.is_dir()
    scenes = [{"picture": "good.jpg", "seconds": 0.2}]
    for name in ("empty.mp3", "pipe.mp3", "text.jpg", "none.mp3"):
        assert f"the music: {name} is n" in refused(files, {"scenes": scenes, "music": {"file": name}})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files in which nothing is wrong."""
    folder = tmp_path_factory.mktemp("whole")
    picture = Image.effect_noise((160, 96), 60).convert("RGB")
    for name in ("p.jpg", "p.png"):
        picture.save(folder / name)
    made = ["-f", "lavfi", "-i", "testsrc2=d=3:s=160x96", "-f", "lavfi", "-i", "sine=d=3"]
    video = [*made, "-c:v", "libx264", "-g", "25", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    ffmpeg.run(video, folder / "v.mp4", seconds=3, folder=folder)
    for name in ("v.mkv", "v.ts", "v.flv"):
        ffmpeg.run(["-i", "v.mp4", "-c", "copy"], folder / name, seconds=3, folder=folder)
    for name in ("a.wav", "a.mp3", "a.flac", "a.m4a", "a.ogg"):
        ffmpeg.run(made[4:], folder / name, seconds=3, folder=folder)
    keys = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "0" * 32, "-encryption_kid", "0" * 32]
    ffmpeg.run(["-i", "v.mp4", "-c", "copy", *keys], folder / "drm.mp4", seconds=3, folder=folder)
    return folder


def _spoiled(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(byte ^ 0x5A for byte in content[middle : middle + 2000]) + content[middle + 2000 :]


@pytest.mark.parametrize(
    ("what", "name", "spoil", "told"),
    [
        *(("clip", name, _spoiled, "is damaged: its pictures") for name in ("v.mp4", "v.mkv", "v.flv")),
        *(("narration", name, _spoiled, "is damaged: its sound") for name in ("a.mp3", "a.flac", "a.m4a", "a.ogg")),
        *(("narration", name, lambda whole: whole[: len(whole) // 2], "is cut off") for name in ("a.wav", "a.mp3")),
        ("picture", "p.jpg", lambda whole: whole[: len(whole) * 4 // 5] + b"\xff\xd9", "is damaged or cut off"),
        *(("picture", name, _spoiled, "is damaged or cut off") for name in ("p.jpg", "p.png")),
        ("clip", "drm.mp4", lambda whole: whole, "is encrypted"),
        ("narration", "a.m4a", lambda whole: whole.replace(b"mp4a", b"drms"), "is encrypted"),
        ("clip", "v.mp4", lambda whole: whole.replace(b"avc1", b"xyz9"), r"is in a format that is not read \(xyz9\)"),
        ("picture", "p.jpg", lambda _: b"%PDF-1.7\n" + b"1 0 obj\n" * 99, "is no picture that can be read; give one"),
        (
            "clip",
            "v.mp4",
            lambda _: b"<!DOCTYPE html><title>403</title>" * 9,
            ".*: it holds no video or sound",
        ),
    ],
)
def test_damage_that_only_decoding_shows_is_told_by_its_scene(
    what: str, name: str, spoil: Callable[[bytes], bytes], told: str, whole: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(spoil((whole / name).read_bytes()))
    scene = {"seconds": 3, **({} if what == "clip" else {"picture": str(whole / "p.jpg")}), what: name}
    timeline = Timeline.model_validate({"width": 96, "height": 160, "scenes": [scene]})
    with pytest.raises(PermanentError, match=f"^scene 1: {re.escape(name)} {told}"):
        check_given(timeline, lambda file: (tmp_path / file, file))


def test_files_in_which_nothing_is_wrong_are_taken(whole: Path) -> None:
    shown: list[dict[str, object]] = [{"picture": "p.jpg"}]
    shown += [{"clip": f"v.{ending}", "clip_from": 0.9, "clip_volume": 1} for ending in ("mp4", "mkv", "ts", "flv")]
    shown += [{"picture": "p.png", "narration": f"a.{ending}"} for ending in ("wav", "mp3", "flac", "m4a", "ogg")]
    scenes = [{**scene, "seconds": 2} for scene in shown]
    timeline = Timeline.model_validate({"width": 96, "height": 160, "scenes": scenes, "music": {"file": "a.mp3"}})
    check_given(timeline, lambda file: (whole / file, file))


def test_every_file_that_cannot_be_used_is_told(files: Path, home: Path) -> None:
    assert home.is_dir()
    scenes = [{"picture": name, "seconds": 0.2} for name in ("none.jpg", "good.jpg", "cut.jpg", *["zero.jpg"] * 9)]
    said = refused(files, {"scenes": scenes})
    assert "scene 1: none.jpg" in said
    assert "scene 3: cut.jpg" in said
    assert "and 6 more" in said


def test_a_timeline_that_is_a_pipe_is_refused(files: Path) -> None:
    done = CliRunner().invoke(app, ["render", str(files / "pipe.jpg")])
    assert done.exit_code == 2
    assert "it is no file; save the text as one" in " ".join(done.output.split())


def refused(files: Path, timeline: dict[str, object]) -> str:
    """What `ytray render` says of a timeline beside these files, which it refuses within ten seconds."""
    (files / "edited.json").write_text(json.dumps({"width": 96, "height": 160, "captions": False, **timeline}))
    started = time.monotonic()
    done = CliRunner().invoke(app, ["render", str(files / "edited.json"), "--out", str(files / "o.mp4")])
    assert time.monotonic() - started < 10
    assert done.exit_code == 2
    return " ".join(done.output.split())


def test_a_narration_that_is_longer_than_its_scene_is_told_before_it_is_rendered(files: Path) -> None:
    words = [{"text": "late", "start": 3, "end": 4.5}]
    scenes = [
        {"picture": "good.jpg", "narration": "good.wav", "seconds": 1.1},
        {"picture": "good.jpg", "narration": "good.wav", "seconds": 0.2},
        {"picture": "good.jpg", "words": words, "seconds": 2},
    ]
    timeline = Timeline.model_validate({"width": 96, "height": 160, "scenes": scenes})
    assert cut_off(timeline, lambda file: (files / file, file)) == [
        "scene 2: its narration lasts 1.0 s, and the scene 0.2 s; what is beyond is cut off: set its seconds to 1.1",
        "scene 3: its narration lasts 4.5 s, and the scene 2.0 s; what is beyond is cut off: set its seconds to 4.6",
    ]


def test_steps_that_wait_are_told_of_with_their_error_and_until_when() -> None:
    now = datetime.now(UTC)
    given = dict.fromkeys(JobStatus.model_fields)
    step = JobStatus.model_validate(
        {
            **given,
            **dict.fromkeys(("job_id", "queue", "progress_message"), ""),
            **dict.fromkeys(("priority", "progress", "retry_count", "cost_usd"), 1),
            "task_name": "render_scene",
            "current_state": "RETRYING",
            "error": "RuntimeError: boom",
            "created_at": now,
            "next_retry_at": now,
            "metadata": {},
        }
    )
    (line,) = waiting([step, step, step.model_copy(update={"current_state": JobState.EXECUTING})])
    assert str(line) == (
        f"render_scene waits until {now.astimezone():%H:%M:%S} (2 of them), to be tried again: RuntimeError: boom"
    )
