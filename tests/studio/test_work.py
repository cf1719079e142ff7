"""Folders to work in."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ytray.studio.render.work import work_folder

PROGRAM = (
    "import sys, time; from ytray.studio.render.work import work_folder\n"
    "with work_folder() as folder:\n"
    "    (folder / 'half.mp4').touch(); print(folder, flush=True); sys.stdin.read()\n"
)


def test_a_folder_goes_away_with_what_it_holds() -> None:
    with work_folder() as folder:
        (folder / "below").mkdir()
    assert not folder.exists()


def test_a_killed_processs_folder_is_swept_up_and_a_living_ones_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    started = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = [Path(process.stdout.readline().strip()) for process in started if process.stdout]
    try:
        started[0].kill()
        started[0].wait()
        with work_folder():
            assert all(folder.exists() for folder in folders), "young ones are let alone"
        for folder in folders:
            os.utime(folder, (time.time() - 120,) * 2)
        with work_folder():
            assert [folder.exists() for folder in folders] == [False, True]
    finally:
        for process in started:
            process.kill()
            process.communicate()
