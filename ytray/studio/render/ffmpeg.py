"""Running ffmpeg: one process that ends with us, reports its progress, and leaves no half-written file."""

from __future__ import annotations

import os
import subprocess
import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import imageio_ffmpeg

from ytray.errors import PermanentError, YtrayError

_KEPT_LINES = 12  # of what ffmpeg says last, for the error


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
) -> None:
    """Run ffmpeg with `arguments`, writing `output`.

    Args:
        arguments: everything between the program and its output file.
        output: appears only when it is complete.
        seconds: length of the output, for the progress.
        folder: working folder; the arguments name files in it without a path, so that no name needs quoting.
        progress: told the share that is done, 0 to 1.

    Raises RenderFailed, or PermanentError when the disk is full.
    """
    # The ending stays the same: ffmpeg chooses the container by it.
    beside = output.with_name(f"{uuid.uuid4().hex[:8]}.part{output.suffix}")
    command = [
        binary(),
        "-hide_banner",
        "-nostdin",
        "-y",
        "-v",
        "error",
        *arguments,
        "-progress",
        "pipe:1",
        str(beside),
    ]
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    said: deque[str] = deque(maxlen=_KEPT_LINES)
    listener = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
    listener.start()
    try:
        for line in process.stdout or ():
            key, _, value = line.strip().partition("=")
            if key == "out_time_us" and value.isdigit() and seconds > 0:
                progress(min(1.0, int(value) / 1e6 / seconds))
        code = process.wait()
        listener.join(timeout=5)
        if code != 0:
            raise _explain(code, "".join(said), output)
        os.replace(beside, output)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        beside.unlink(missing_ok=True)


def _explain(code: int, said: str, output: Path) -> YtrayError:
    if "No space left on device" in said:
        return PermanentError(
            f"the disk is full: {output.name} could not be written; free some space and replay the job"
        )
    return RenderFailed(f"ffmpeg ended with {code} while writing {output.name}: {said.strip()[-1500:]}")
