"""A process is its number and its start; what is kept of one that has ended means nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ytray.system.identity import Identity, identity, myself
from ytray.system.parts import Part, read_parts, write_parts
from ytray.system.running import mark_left, record, supervisor_of


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits until it is ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_a_process_with_the_number_of_one_that_has_ended_is_another_and_gets_no_signal(
    other: subprocess.Popen[bytes],
) -> None:
    there = identity(other.pid)
    assert there is not None
    assert there.is_alive()
    ticks, _, boot = there.started.partition("@")
    for before in (replace(there, started=f"1@{boot}"), replace(there, started=f"{ticks}@00000000")):
        assert not before.is_alive()
        assert not before.signal(15)
    assert other.poll() is None
    assert there.signal(15)
    assert other.wait(60) == -15
    assert not there.is_alive()
    assert not there.signal(15)


def test_a_zombie_has_ended(other: subprocess.Popen[bytes], until: Callable[..., None]) -> None:
    there = identity(other.pid)
    assert there is not None
    other.kill()
    until(lambda: psutil.Process(other.pid).status() == psutil.STATUS_ZOMBIE)
    assert not there.is_alive()
    assert identity(other.pid) is None


@pytest.mark.parametrize("kept", ["", "12", "x y z", "1 2"])
def test_a_pid_file_that_is_not_ours_or_stale_names_no_supervisor(tmp_path: Path, kept: str) -> None:
    (tmp_path / "up.pid").write_text(kept)
    assert supervisor_of(tmp_path) is None
    record(tmp_path, "mark")
    assert supervisor_of(tmp_path) == myself()
    assert mark_left(tmp_path) == "mark"
    (tmp_path / "up.pid").write_text(f"{os.getpid()} 1@00000000 mark")
    assert supervisor_of(tmp_path) is None
    assert mark_left(tmp_path) == "mark"


def test_parts_are_read_as_long_as_their_supervisor_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_parts(tmp_path) == []
    parts = [Part("redis", "up", 0, 12.5, ""), Part("raylet", "starting", 2, 13.0, "raylet was ended by signal 9")]
    write_parts(tmp_path, parts)
    assert read_parts(tmp_path) == parts
    assert (tmp_path / "parts.json").stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr("ytray.system.parts.myself", lambda: Identity(myself().pid, "1@00000000"))
    write_parts(tmp_path, parts)
    assert read_parts(tmp_path) == []
