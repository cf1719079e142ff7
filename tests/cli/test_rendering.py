"""`ytray render` takes in the files that a timeline names."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ytray.artifacts import ArtifactStore
from ytray.cli.app import app
from ytray.cli.inside import Inside
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
