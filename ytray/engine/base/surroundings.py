"""What the tasks of one worker share, put back after each; and the end of a process that a task has forked."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import sys
import tempfile
from typing import NoReturn, TextIO

from ytray.engine.base.error_text import traceback_of
from ytray.engine.base.printed import Printed


class Surroundings:
    """What tasks of one process share and may change: where it is, and where its output goes."""

    def __init__(self) -> None:
        self._folder = os.getcwd()
        self._output: TextIO = sys.stdout
        self._errors: TextIO = sys.stderr
        self._saved = {number: os.dup(number) for number in (1, 2)}

    def restore(self) -> None:
        """Undo what a task has changed, so that the next one does not meet it."""
        with contextlib.suppress(OSError):
            if os.getcwd() == self._folder:
                self._restore_output()
                return
        for folder in (self._folder, tempfile.gettempdir()):  # a task may have removed it
            with contextlib.suppress(OSError):
                os.chdir(folder)
                break
        self._restore_output()

    def _restore_output(self) -> None:
        for number, saved in self._saved.items():
            try:
                fcntl.fcntl(number, fcntl.F_GETFD)
            except OSError:
                os.dup2(saved, number)
        if sys.stdout is not self._output:
            sys.stdout = self._output
        if self._errors.closed:
            anew = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), line_buffering=True)
            if isinstance(self._errors, Printed):
                self._errors.under = anew
            else:
                self._errors = anew
        if sys.stderr is not self._errors:
            sys.stderr = self._errors


def end_forked_child(error: BaseException | None) -> NoReturn:
    """End a process that a task forked and that has fallen out of the task: it must not go on as a second worker."""
    status = 1 if error is not None else 0
    told = ""
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        told = error.code if isinstance(error.code, str) else ""
    elif error is not None:
        told = traceback_of(error)
    with contextlib.suppress(Exception):
        sys.stderr.write(f"{told}\n" if told else "")
    for output in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            output.flush()
    os._exit(status & 0xFF)
