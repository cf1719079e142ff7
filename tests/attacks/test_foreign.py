"""Files that take ffmpeg over: what a program that is not ours could read, reach and use up."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from ytray.studio import confinement, foreign
from ytray.studio.render.ffmpeg import binary

SECRET = "0123456789abcdef-of-the-operator"
ROOM = Path(__file__).parents[2] / "ytray"

needs_landlock = pytest.mark.skipif(confinement.landlock_version() < 1, reason="this kernel has no Landlock")


@pytest.fixture(autouse=True)
def secrets_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("YTRAY_API_KEYS", "YTRAY_REDIS_URL", "AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN", "ANY_OTHER"):
        monkeypatch.setenv(name, SECRET)


def copied(path: Path | str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """What ffmpeg makes of a file that it is told, in its own words, to copy."""
    command = [
        binary(),
        "-v",
        "error",
        "-f",
        "data",
        "-i",
        f"file:{path}",
        "-map",
        "0",
        "-c",
        "copy",
        "-f",
        "data",
        "-",
    ]
    return foreign.run(command, folder=folder, timeout=30)


def test_ffmpeg_has_no_secret_in_its_environment(tmp_path: Path) -> None:
    read = copied("/proc/self/environ", tmp_path).stdout
    assert b"PATH=" in read
    assert SECRET.encode() not in read
    assert os.environ["ANY_OTHER"] == SECRET


@needs_landlock
def test_ffmpeg_reads_neither_our_environment_nor_files_that_it_was_not_given(tmp_path: Path) -> None:
    given, other = tmp_path / "given", tmp_path / "other"
    own = tmp_path / "own"
    own.mkdir()
    for file in (given, other):
        file.write_text(SECRET)
    (own / "input").symlink_to(given)
    assert copied("input", own).stdout == SECRET.encode()
    for path in (other, f"/proc/{os.getpid()}/environ", Path.home() / ".ray" / "auth_token", "/etc/passwd"):
        tried = copied(path, own)
        assert tried.returncode != 0
        assert (tried.stdout, b"Permission denied" in tried.stderr or b"No such file" in tried.stderr) == (b"", True)


@needs_landlock
def test_ffmpeg_writes_into_its_folders_alone(tmp_path: Path) -> None:
    own, given, other = (tmp_path / name for name in ("own", "given", "other"))
    for folder in (own, given, other):
        folder.mkdir()
    for folder, is_allowed in ((own, True), (given, True), (other, False)):
        black = [binary(), "-v", "error", "-f", "lavfi", "-i", "color=s=16x16:d=0.1", f"file:{folder / 'a.mp4'}"]
        foreign.run(black, folder=own, writes=[given], timeout=30)
        assert (folder / "a.mp4").exists() is is_allowed


def test_ffmpeg_opens_no_connection(tmp_path: Path) -> None:
    where = tmp_path / "redis.sock"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(where))
        unix.listen()
        came: list[str] = []
        for listening in (tcp, unix):
            threading.Thread(target=_note, args=(listening, came), daemon=True).start()
        for url in (f"http://127.0.0.1:{tcp.getsockname()[1]}/a.mp4", f"unix:{where}", "udp://127.0.0.1:9"):
            tried = foreign.run([binary(), "-v", "error", "-i", url, "-f", "null", "-"], folder=tmp_path, timeout=30)
            assert tried.returncode != 0
            assert b"Permission denied" in tried.stderr
        assert came == []
        with socket.create_connection(tcp.getsockname()):
            pass  # this thread is not confined by what it has started


def _note(listening: socket.socket, came: list[str]) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        came.append(str(connection.getsockname()))
        connection.close()


def test_programs_have_limits_and_cannot_become_anybody_else(tmp_path: Path) -> None:
    told = (
        "import json, os, resource; from pathlib import Path;"
        "print(json.dumps([resource.getrlimit(n)[1] for n in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE,"
        "resource.RLIMIT_DATA, resource.RLIMIT_FSIZE)] + ["
        "[line.split()[1] for line in Path('/proc/self/status').read_text().splitlines() if line.startswith(name)][0]"
        "for name in ('NoNewPrivs', 'Seccomp:', 'CapEff')]))"
    )
    done = foreign.run([sys.executable, "-I", "-c", told], folder=tmp_path, timeout=30)
    core, files, memory, largest, locked, seccomp, capabilities = json.loads(done.stdout)
    assert (core, files) == (0, 1024)
    assert memory == psutil.virtual_memory().total
    assert largest == 256 << 30
    assert (locked, seccomp) == ("1", "2")
    assert int(capabilities, 16) & ~0b110 == 0


def test_one_function_starts_them_all() -> None:
    """MoviePy starts an ffmpeg of its own, on what one of ours has just written."""
    found = set()
    for file in (ROOM / "studio").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and (node.value.id, node.attr)
                in {("subprocess", name) for name in ("run", "Popen", "call", "check_call", "check_output")}
                | {("os", name) for name in ("system", "popen", "posix_spawn", "execv", "fork")}
            ):
                found.add(file.relative_to(ROOM).as_posix())
    assert found == {"studio/foreign.py"}
