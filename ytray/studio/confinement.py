"""What the kernel takes from a thread and from all that it starts: connections, others' files, others' memory.

By seccomp (no socket is opened) and Landlock (files by a list, no signals and no looks at processes outside), which
every user may lay on themselves. Both hold for a thread, and nothing takes them off again.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_NO_NEW_PRIVILEGES: Final = 38
_DROP_CAPABILITY: Final = 24
_SECCOMP: Final = 22
_BY_FILTER: Final = 2

_CAPABILITIES: Final = 64  # more than there are
_KEPT: Final = (1, 2)  # to read and write what other users own: of root's, the ones that files are worked on with

_LOAD, _EQUAL, _AT_LEAST, _ANSWER = 0x20, 0x15, 0x35, 0x06  # of the kernel's packet filter
_ALLOWED, _REFUSED = 0x7FFF0000, 0x00050000 | errno.EACCES
_NUMBER_AT, _MACHINE_AT = 0, 4  # in what the filter is shown of a call
_OTHER_NUMBERS: Final = 0x40000000  # x86-64's second way to make the same calls

# The kernel's numbers of socket, ptrace, process_vm_readv, process_vm_writev, io_uring_setup (which opens sockets, too)
# and pidfd_getfd.
_REFUSED_CALLS: Final = {
    "x86_64": (0xC000003E, (41, 101, 310, 311, 425, 438)),
    "aarch64": (0xC00000B7, (198, 117, 270, 271, 425, 438)),
}

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # on every machine
_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE = 1 << 14
_ALL_RIGHTS = (1 << 13, 1 << 14, 1 << 15)  # of files, since Landlock's versions 1, 2 and 3
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_TO_READ = _EXECUTE | _READ_FILE | _READ_FOLDER
_NO_SIGNALS_OUT = 3  # and no abstract sockets; since its version 6


def confine_thread(*, reads: Iterable[Path], writes: Iterable[Path]) -> None:
    """Confine this thread, for ever, and all that it starts from now on, as far as the kernel offers that.

    Args:
        reads: files and folders that may be read, and run.
        writes: files and folders that may be read, run and written.
    """
    if _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return
    if os.geteuid() == 0:
        for capability in set(range(_CAPABILITIES)) - set(_KEPT):
            _libc.prctl(_DROP_CAPABILITY, capability, 0, 0, 0)
    if landlock_version() > 0:
        _keep_to_files(landlock_version(), list(reads), list(writes))
    filter_ = _filter()
    if filter_ is not None:
        _libc.prctl(_SECCOMP, _BY_FILTER, ctypes.byref(filter_), 0, 0)


@cache
def landlock_version() -> int:
    """The version of the kernel's Landlock; 0 without."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)))


def seccomp_holds() -> bool:
    """Whether what is confined opens no connection."""
    return _filter() is not None and Path("/proc/sys/kernel/seccomp").is_dir()


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


@cache
def _filter() -> _Program | None:
    """The filter of calls; None on machines whose numbers are not known here."""
    known = _REFUSED_CALLS.get(platform.machine())
    if known is None:
        return None
    machine, refused = known
    last = len(refused) + 1  # the place of the step that allows, counted from the first comparison
    steps = [
        _step(_LOAD, _MACHINE_AT),
        _step(_EQUAL, machine, 1, 0),
        _step(_ANSWER, _REFUSED),
        _step(_LOAD, _NUMBER_AT),
    ]
    steps.append(_step(_AT_LEAST, _OTHER_NUMBERS, last, 0))
    steps += [_step(_EQUAL, number, last - 1 - place, 0) for place, number in enumerate(refused)]
    steps += [_step(_ANSWER, _ALLOWED), _step(_ANSWER, _REFUSED)]
    return _Program(len(steps), b"".join(steps))


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _keep_to_files(version: int, reads: list[Path], writes: list[Path]) -> None:
    rights = _ALL_RIGHTS[min(version, 3) - 1] - 1
    attributes = struct.pack("QQQ", rights, 0, _NO_SIGNALS_OUT if version >= 6 else 0)
    size = 24 if version >= 6 else 8  # what an older kernel knows of it
    ruleset = int(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0))
    if ruleset < 0:
        return
    try:
        for paths, allowed in ((reads, _TO_READ), (writes, rights)):
            for path in paths:
                _allow(ruleset, path, allowed & rights)
        _libc.syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        held = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # there is no such thing on this machine
    try:
        if not path.is_dir():
            rights &= _OF_FILES
        _libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, held), 0)
    finally:
        os.close(held)
