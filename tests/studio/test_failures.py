"""What is told of failures: the user's own names and no others, and whether time may heal them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import UnidentifiedImageError

from ytray.errors import DiskFull, PermanentError
from ytray.studio.render import ffmpeg
from ytray.studio.render.compose import compose
from ytray.studio.render.timeline import Timeline
from ytray.tasks.healing import heals


def test_what_ffmpeg_says_names_the_users_files_and_nothing_of_ours(tmp_path: Path) -> None:
    (tmp_path / "source0").write_text("no picture")
    arguments = ["-i", "source0", "-frames:v", "1"]
    with pytest.raises(ffmpeg.RenderFailed) as failed:
        ffmpeg.run(arguments, tmp_path / "scene-3f.mp4", seconds=1, folder=tmp_path, names={"source0": "My cat.jpg"})
    said = str(failed.value)
    assert "My cat.jpg" in said
    for ours in ("source0", "scene-3f", str(tmp_path), "0x", ".part"):
        assert ours not in said


@pytest.mark.parametrize("what", ["picture", "clip", "narration"])
@pytest.mark.parametrize(
    ("kind", "told"), [("pipe", "it is a pipe"), ("folder", "it is a folder"), ("no", "not there")]
)
def test_what_is_no_file_is_told_and_never_waited_for(what: str, kind: str, told: str, tmp_path: Path) -> None:
    odd = tmp_path / "my cat"
    if kind == "pipe":
        os.mkfifo(odd)
    elif kind == "folder":
        odd.mkdir()
    (tmp_path / "p.ppm").write_bytes(b"P6 1 1 255 abc")
    scene = {"seconds": 0.2, **({} if what == "clip" else {"picture": str(tmp_path / "p.ppm")}), what: str(odd)}
    timeline = Timeline.model_validate({"width": 64, "height": 64, "captions": False, "scenes": [scene]})
    with pytest.raises(PermanentError, match=rf"my cat.*{told}") as failed:
        compose(timeline, tmp_path / "o.mp4")
    assert "scene 1" in str(failed.value)


@pytest.mark.parametrize(
    ("error", "may"),
    [
        (OSError(28, "No space left on device"), True),
        (ConnectionResetError("the server went away"), True),
        (TimeoutError(), True),
        (DiskFull("full"), True),
        (OSError(5, "Input/output error"), True),
        (OSError("image file is truncated"), False),
        (UnidentifiedImageError("cannot identify image file"), False),
        (FileNotFoundError(2, "No such file", "lut.cube"), False),
        (PermissionError(13, "Permission denied", "lut.cube"), False),
        (ffmpeg.RenderFailed("ffmpeg ended with 187"), False),
        (ValueError("no"), False),
    ],
)
def test_time_heals_machines_and_networks_and_no_files(error: Exception, may: bool) -> None:
    assert heals(error) is may
