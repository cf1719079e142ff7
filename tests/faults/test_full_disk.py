"""A full disk: one error that says so and is tried again, wherever a file is written, and nothing left of the file."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import cast

import httpx
import pytest

from ytray.artifacts import ArtifactStore
from ytray.cli.backend import Backend
from ytray.cli.batch_running import write_report
from ytray.engine.base.context import CurrentJob, enter_job
from ytray.engine.base.printed import Printed
from ytray.engine.state.backup import backup_to_file
from ytray.engine.state.store import Store
from ytray.errors import DiskFull
from ytray.studio.providers.offline_speech import OfflineSpeech
from ytray.studio.render import ffmpeg
from ytray.studio.render.clips import normal_clip
from ytray.studio.render.work import work_folder
from ytray.system.kept import keep
from ytray.tasks.healing import STEADY

LARGE = bytes(1 << 20)  # more than the disk holds

Settle = Callable[..., None]


def left_on(disk: Path) -> list[str]:
    """The files, and the folders of jobs, that there are."""
    return [str(path.relative_to(disk)) for path in disk.rglob("*") if path.is_file() or "job" in path.parts]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(LARGE)
    return path


def test_an_artifact_is_there_whole_or_not_at_all(disk: Path, source: Path) -> None:
    store = ArtifactStore(str(disk / "store"))
    with pytest.raises(DiskFull, match=r"the disk is full: .*job/1/video could not be written") as told:
        store.publish(source, "job/1", "video")
    assert left_on(disk) == []
    assert STEADY.delay_after(told.value, 0) is not None


def test_a_file_that_is_handed_out_is_whole_or_not_there(disk: Path, source: Path, tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    uri = store.publish(source, "job/1", "video")
    with pytest.raises(DiskFull, match="disk/mine could not be written"):
        store.copy_to(uri, disk / "mine")
    assert left_on(disk) == []


def test_the_cache_of_a_remote_store_says_so_both_ways(
    disk: Path, source: Path, tmp_path: Path, with_settings: Settle
) -> None:
    root = f"memory://{uuid.uuid4().hex}"
    with_settings(artifacts=root, home=tmp_path / "home")
    uri = ArtifactStore().publish(source, "job/1", "video")
    for limit in (1 << 30, 0):
        with_settings(artifacts=root, home=disk / "home", cache_bytes=limit)
        with pytest.raises(DiskFull, match="disk/home/cache"):
            ArtifactStore().publish(source, "job/1", "other")
        (disk / "work").mkdir(exist_ok=True)
        with pytest.raises(DiskFull, match="a copy of memory"):
            ArtifactStore().fetch(uri, disk / "work")
        assert [name for name in left_on(disk) if not name.endswith("/total")] == []


def test_a_clip_that_is_made_right_and_kept_says_so(disk: Path, tmp_path: Path, with_settings: Settle) -> None:
    with_settings(home=disk / "home")
    clip = tmp_path / "clip.ts"
    noise = ["-f", "lavfi", "-i", "nullsrc=s=320x240:d=1,geq=random(1)*255:128:128", "-c:v", "mpeg2video", "-q:v", "2"]
    ffmpeg.run(noise, clip, seconds=1, folder=tmp_path)
    with pytest.raises(DiskFull, match="disk/home/cache/clips"):
        normal_clip(clip, tmp_path)
    assert left_on(disk) == []
    assert not list(tmp_path.glob("clip-*"))


def test_what_is_made_in_a_working_folder_says_so(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    with pytest.raises(DiskFull, match=f"a working file in {disk} could not be written"), work_folder() as folder:
        (folder / "frames").write_bytes(LARGE)
    with pytest.raises(DiskFull, match=f"{tmp_path}/film"), work_folder():
        raise DiskFull(f"the disk is full: {tmp_path}/film")
    assert left_on(disk) == []


def test_the_narrators_own_process_says_so(disk: Path) -> None:
    with pytest.raises(DiskFull, match=r"narration\.wav could not be written"):
        OfflineSpeech().speak("Why do cats purr, and why do they purr so long? " * 20, "en", disk / "narration.wav")
    assert left_on(disk) == []


def test_a_backup_and_a_report_are_whole_or_as_they_were(disk: Path, bare_store: Store) -> None:
    bare_store.redis.set(bare_store.key("large"), os.urandom(len(LARGE)))
    (disk / "report.md").write_text("the last one")
    with pytest.raises(DiskFull, match="disk/state could not be written"):
        backup_to_file(bare_store, disk / "state")

    class Large:
        def batch_report(self, *_: object) -> str:
            return LARGE.decode()

    with pytest.raises(DiskFull, match=r"disk/report\.md could not be written"):
        write_report(cast(Backend, Large()), "b1", disk / "report.md")
    assert left_on(disk) == ["report.md"]
    assert (disk / "report.md").read_text() == "the last one"


def test_an_upload_is_answered_by_a_problem(
    disk: Path, bare_store: Store, serving: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    url = f"{serving(bare_store, open_without_keys=True)}/api/batches?task=generate_hook"
    answer = httpx.post(url, content=LARGE, headers={"Content-Type": "text/csv"}, timeout=60)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/disk-full"), answer.text
    assert "the disk is full: what was uploaded could not be written" in answer.json()["detail"]
    assert left_on(disk) == []


def test_a_job_that_prints_does_not_fail_by_the_workers_log() -> None:
    kept: list[str] = []
    full = io.TextIOWrapper(io.FileIO("/dev/full", "w"), line_buffering=True)
    printed = Printed(full, "PRINT", lambda _, __, line: kept.append(line))
    enter_job(CurrentJob("job", "prints"))
    try:
        print("a line", file=printed, flush=True)
        printed.buffer.write(b"another\n")
        printed.buffer.flush()
    finally:
        enter_job(None)
        with contextlib.suppress(OSError):
            full.close()
    assert kept == ["a line", "another"]


def test_what_is_kept_of_the_parts_is_as_it_was(disk: Path) -> None:
    (disk / "rest").write_bytes(bytes(100_000))
    keep(disk / "parts.json", json.dumps({"all": "up"}).encode())
    with pytest.raises(DiskFull):
        keep(disk / "parts.json", LARGE)
    assert sorted(left_on(disk)) == ["parts.json", "rest"]
    assert json.loads((disk / "parts.json").read_bytes()) == {"all": "up"}
