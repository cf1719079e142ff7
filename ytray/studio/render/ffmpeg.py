"""Running ffmpeg: one process that ends with us, reports its progress, and leaves no half-written file."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO

import imageio_ffmpeg

from ytray.errors import YtrayError
from ytray.full_disk import disk_full, says_full
from ytray.studio import foreign

_KEPT_LINES = 12  # of what ffmpeg says last, for the error


_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")  # in memory, of what says something: another one each time
NO_NAMES: Mapping[str, str] = MappingProxyType({})


class RenderFailed(YtrayError):
    """ffmpeg ended with an error; the message holds the end of what it said."""


def binary() -> str:
    """The ffmpeg that imageio-ffmpeg brings (MoviePy uses the same one)."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def run(
    arguments: Sequence[str],
    output: Path,
    *,
    seconds: float,
    folder: Path,
    progress: Callable[[float], None] = lambda _: None,
    frames: int = 0,
    feed: Iterable[bytes] | None = None,
    names: Mapping[str, str] = NO_NAMES,
) -> None:
    """Run ffmpeg with `arguments`, writing `output`. It ends when this process does, also by kill -9.

    Args:
        arguments: everything between the program and its output file.
        output: appears only when it is complete.
        seconds: length of the output, for the progress.
        folder: working folder; the arguments name files in it without a path, so that no name needs quoting.
        progress: told the share that is done, 0 to 1.
        frames: length of the output in frames, where it has a picture: the progress is then counted in these.
        feed: what ffmpeg reads from its standard input (`-i pipe:0`).
        names: what people call the files that the arguments name, for the error.

    Raises RenderFailed, or DiskFull.
    """
    # ffmpeg works in another folder. The ending stays the same: it chooses the container by it.
    output = output.absolute()
    beside = output.with_name(f"{uuid.uuid4().hex[:8]}.part{output.suffix}")
    command = [
        binary(),
        "-hide_banner",
        *(["-nostdin"] if feed is None else []),
        "-y",
        "-v",
        "error",
        *arguments,
        "-progress",
        "pipe:1",
        str(beside),
    ]
    process = foreign.start(
        command,
        folder=folder,
        writes=[output.parent],
        stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    said: deque[str] = deque(maxlen=_KEPT_LINES)
    listener = threading.Thread(target=lambda: said.extend(_lines(process.stderr)), daemon=True)
    listener.start()
    feeder = _Feeder(process.stdin, feed) if process.stdin is not None and feed is not None else None
    counted, whole = ("frame", float(frames)) if frames else ("out_time_us", seconds * 1e6)
    reached = 0
    try:
        for line in _lines(process.stdout):
            key, _, value = line.strip().partition("=")
            if key == counted and value.isdigit() and whole > 0:
                reached = max(reached, int(value))  # it tells of the stream that it wrote last, which may be behind
                progress(min(1.0, reached / whole))
        code = process.wait()
        if feeder is not None:
            feeder.done()
        listener.join(timeout=5)
        if code != 0:
            raise _explain(code, "".join(said).replace(str(beside), "its output"), output, names)
        if frames and reached != frames:
            raise RenderFailed(f"ffmpeg wrote {reached} of {frames} frames")
        os.replace(beside, output)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        beside.unlink(missing_ok=True)


def _lines(stream: IO[bytes] | None) -> Iterator[str]:
    for line in stream or ():
        yield line.decode("utf-8", "replace")


class _Feeder:
    """Writes to ffmpeg's standard input from a thread of its own, while its progress is read."""

    def __init__(self, stdin: IO[bytes], feed: Iterable[bytes]) -> None:
        self._stdin, self._feed = stdin, feed
        self._wrong: BaseException | None = None
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def done(self) -> None:
        """Wait until all is written. Raises what the source of the data raised."""
        self._thread.join()
        if self._wrong is not None:
            raise self._wrong

    def _write(self) -> None:
        try:
            for piece in self._feed:
                self._stdin.write(piece)
        except BrokenPipeError:
            return  # ffmpeg has enough, or has failed and says why itself
        except BaseException as wrong:
            self._wrong = wrong
        finally:
            with contextlib.suppress(BrokenPipeError):
                self._stdin.close()


def _explain(code: int, said: str, output: Path, names: Mapping[str, str]) -> YtrayError:
    if says_full(said):
        there = Path(tempfile.gettempdir())
        return disk_full(f"what is rendered in {there if output.is_relative_to(there) else output.parent}")
    told = _ADDRESS.sub("", said)
    for name, called in names.items():
        told = re.sub(rf"\b{re.escape(name)}\b", called.replace("\\", r"\\"), told)
    return RenderFailed(f"ffmpeg ended with {code}: {told.strip()[-1500:]}")
