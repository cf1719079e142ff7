"""Nodes that share no disk: a video goes from one to the next through S3; or an error says why it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json, to_json

from tests.artifacts.conftest import made
from tests.artifacts.s3 import S3Server
from ytray.artifacts import ArtifactStore
from ytray.errors import PermanentError, SystemUnavailable
from ytray.studio.render.probe import probe


def on_a_node(home: Path, artifacts: str, part: str, given: object) -> Any:
    """Have a process with a home and a temporary folder of its own do a part of a video; returns what it told."""
    (home / "tmp").mkdir(parents=True)
    environment = {"YTRAY_HOME": str(home), "TMPDIR": str(home / "tmp"), "YTRAY_ARTIFACTS": artifacts}
    told = subprocess.run(
        [sys.executable, "-m", "tests.artifacts.making", part],
        env={**os.environ, **environment},
        input=to_json(given).decode(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return from_json(told.stdout)


def test_a_video_is_made_by_nodes_whose_disks_are_apart(s3: S3Server, prefix: str, tmp_path: Path) -> None:
    scene = {"narration": "Cats purr.", "subject": "a cat", "mood": "calm"}
    first = on_a_node(tmp_path / "first", prefix, "render", scene)
    second = on_a_node(tmp_path / "second", prefix, "compose", first["media"])
    assert [part["was_kept"] for part in first["parts"]] == [False]
    video = second["video"]
    assert (video["parts"], video["parts_kept"]) == (1, 1), "what another node has rendered was not used"
    store = ArtifactStore(prefix)
    assert all(uri.startswith(prefix) and store.exists(uri) for uri in (video["uri"], second["thumbnail"]))
    store.copy_to(video["uri"], tmp_path / "video.mp4")
    assert probe(tmp_path / "video.mp4").seconds == pytest.approx(video["seconds"], abs=0.1)


def test_a_file_that_another_node_keeps_for_itself_is_an_error_that_says_what_to_set(
    tmp_path: Path, home: Path
) -> None:
    one, other = ArtifactStore(str(tmp_path / "one")), ArtifactStore(str(tmp_path / "other"))
    uri = one.publish(made(tmp_path), "job/1", "a")
    with pytest.raises(PermanentError, match=r"not an artifact of this system.*another node.*YTRAY_ARTIFACTS.*s3://"):
        other.fetch(uri, tmp_path)
    Path(uri).unlink()  # as a node sees it whose folder of that name is another one
    with pytest.raises(PermanentError, match=r"there is no artifact.*another node.*YTRAY_ARTIFACTS.*s3://"):
        one.fetch(uri, tmp_path)


def test_a_store_is_probed_by_a_file_and_one_that_cannot_be_used_is_told_without_a_key(
    s3: S3Server, prefix: str, home: Path, tmp_path: Path
) -> None:
    for root in (prefix, str(tmp_path / "kept")):
        store = ArtifactStore(root)
        store.probe()
        assert store.owners() == []
    with pytest.raises(SystemUnavailable, match="s3://no-such-bucket/films: a file cannot be written: ") as told:
        ArtifactStore("s3://no-such-bucket/films").probe()
    assert "-for-tests" not in str(told.value)
