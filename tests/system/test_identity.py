"""A process is its number and its start; what is kept of one that has ended means nobody."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ytray.system.identity import Identity, identity, myself, read_line
from ytray.system.parts import Part, read_parts, write_parts


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
    assert other.wait(10) == -15
    assert not there.is_alive()
    assert not there.signal(15)


def test_a_zombie_has_ended(other: subprocess.Popen[bytes], until: Callable[..., None]) -> None:
    there = identity(other.pid)
    assert there is not None
    other.kill()
    until(lambda: psutil.Process(other.pid).status() == psutil.STATUS_ZOMBIE)
    assert not there.is_alive()
    assert identity(other.pid) is None


@pytest.mark.parametrize("kept", ["", "12", "x y", "12 13 14"])
def test_a_file_that_names_no_process_and_its_start_names_nobody(tmp_path: Path, kept: str) -> None:
    (tmp_path / "up.pid").write_text(kept)
    assert read_line(tmp_path / "up.pid") is None
    (tmp_path / "up.pid").write_text(myself().line())
    assert read_line(tmp_path / "up.pid") == myself()


def test_parts_are_read_as_long_as_their_supervisor_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_parts(tmp_path) == []
    parts = [Part("redis", "up", 0, 12.5, ""), Part("raylet", "starting", 2, 13.0, "raylet was ended by signal 9")]
    write_parts(tmp_path, parts)
    assert read_parts(tmp_path) == parts
    assert (tmp_path / "parts.json").stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr("ytray.system.parts.myself", lambda: Identity(myself().pid, "1@00000000"))
    write_parts(tmp_path, parts)
    assert read_parts(tmp_path) == []
