"""`ytray render` takes in the files that a timeline names."""

from __future__ import annotations

import codecs
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from ytray.artifacts import ArtifactStore
from ytray.cli.app import app
from ytray.cli.inside import Inside
from ytray.cli.videos import waiting
from ytray.engine.model import JobState, JobStatus
from ytray.engine.store import Store
from ytray.errors import InvalidArguments


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
    with pytest.raises(InvalidArguments, match=r"song\.mp3 is no file"):
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


def test_a_damaged_file_is_named_as_its_owner_calls_it_with_its_scene(system: Store, tmp_path: Path) -> None:
    assert system is not None
    scenes = []
    for place in range(4):
        name = f"фото {place}.jpg"
        Image.effect_noise((96, 160), 60 + place).convert("RGB").save(tmp_path / name)
        scenes.append({"picture": name, "seconds": 0.2})
    whole = (tmp_path / "фото 2.jpg").read_bytes()
    (tmp_path / "фото 2.jpg").write_bytes(whole[: len(whole) // 2])
    file = tmp_path / "edited.json"
    file.write_text(json.dumps({"width": 96, "height": 160, "captions": False, "scenes": scenes}))
    command = [sys.executable, "-m", "ytray", "render", str(file), "--out", str(tmp_path / "o.mp4")]
    done = subprocess.run(command, env={**os.environ, "COLUMNS": "200"}, capture_output=True, text=True, timeout=120)
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert "scene 3: фото 2.jpg is damaged or cut off" in told
    assert "save or send it again" in told


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
