"""Programs that are not ours (ffmpeg, espeak-ng): started here and nowhere else, with nothing that they do not need.

They read what tenants send, so a fault of theirs would be a tenant's way in. They get a short environment without
secrets, open no connection, read what their command names and what the system is made of, write into their own folder,
and have limits. What the kernel does not offer is left out; `confinement` tells.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from ytray.engine.base.processes import MARK as JOB
from ytray.engine.base.processes import WORKER
from ytray.studio import confinement
from ytray.system.running import MARK as NODE

# From util-linux, so on every Debian: the kernel kills the program when the thread that started it is gone.
_DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []

# What of our environment they get. The last ones say whose they are, by which they are found and ended.
_TOLD: tuple[str, ...] = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_TOLD += ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES")
_TOLD += (JOB, WORKER, NODE)

_LARGEST_FILE = 256 << 30  # bytes, of a file that they write
_FILES = 1024  # open at once
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/alternatives", "/proc", "/sys")
_DEVICES = ("null", "zero", "full", "random", "urandom", "dri", "nvidia*")


def run(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    writes: Iterable[Path] = (),
    timeout: float,
    said_to: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end; gives all that it wrote and said. The arguments are those of `start`.

    Args:
        timeout: seconds; then it is killed, and subprocess.TimeoutExpired raised.
        said_to: what it reads from its standard input.
    """
    with start(command, folder=folder, writes=writes, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            wrote, said = process.communicate(said_to, timeout=timeout)
        finally:
            if process.poll() is None:
                process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, wrote, said)


def start(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    writes: Iterable[Path] = (),
    stdin: int = subprocess.DEVNULL,
    stderr: int | IO[bytes],
) -> subprocess.Popen[bytes]:
    """Start a program, which ends when this process does, also by kill -9; its output is a pipe.

    Args:
        command: the program and its arguments. It may read the files that they name.
        folder: where it works: it may write there, and read what links in it lead to.
        writes: folders in which it may write, too.
        stdin: as subprocess has it.
        stderr: the same.
    """
    started: list[subprocess.Popen[bytes]] = []
    failed: list[BaseException] = []
    ready = threading.Event()

    def hold() -> None:
        # What confines holds for one thread and all that it starts, and for ever: so each program has a thread.
        try:
            confinement.confine_thread(reads=_readable(command, folder), writes=_writable(folder, writes))
            process = subprocess.Popen(
                [*_DIES_WITH_US, *command],
                cwd=folder,
                env={name: os.environ[name] for name in _TOLD if name in os.environ},
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
            ended = os.pidfd_open(process.pid)
            _limit(process.pid)
            started.append(process)
        except BaseException as wrong:
            failed.append(wrong)
            return
        finally:
            ready.set()
        # The kernel ends the program with this thread. Its end is taken note of by who started it, and only seen here.
        waiting = select.poll()
        waiting.register(ended, select.POLLIN)
        waiting.poll()
        os.close(ended)

    threading.Thread(target=hold, name=f"holds {Path(command[0]).name}", daemon=True).start()
    try:
        ready.wait()
    except BaseException:  # a limit of the task was raised here: nobody would know of the program
        ready.wait()
        for process in started:
            process.kill()
            process.wait()
        raise
    if failed:
        raise failed[0]
    return started[0]


def text(said: bytes) -> str:
    """What a program wrote, as lines of text, whatever its bytes are."""
    return said.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")


def _readable(command: Sequence[str], folder: Path | None) -> list[Path]:
    """What the system is made of, what the command names, and what is linked in the folder."""
    found = [Path(path) for path in (*_SYSTEM, sys.prefix, sys.base_prefix)]
    found += [Path(word) for word in command if word.startswith("/")]
    if folder is not None:
        found += [link.resolve() for link in folder.iterdir() if link.is_symlink()]
    return found


def _writable(folder: Path | None, writes: Iterable[Path]) -> list[Path]:
    devices = [path for name in _DEVICES for path in Path("/dev").glob(name)]
    return [*devices, *writes, *([folder] if folder is not None else [])]


def _limit(pid: int) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: memory,
        resource.RLIMIT_FSIZE: _LARGEST_FILE,
        resource.RLIMIT_NOFILE: _FILES,
    }
    for which, most in limits.items():
        with contextlib.suppress(OSError, ValueError):  # it has ended already, or its hard limit is lower
            resource.prlimit(pid, which, (most, most))
