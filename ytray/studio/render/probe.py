"""What a media file is, as ffmpeg reads it. (imageio-ffmpeg brings no ffprobe.)"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ytray.errors import PermanentError
from ytray.studio.render.ffmpeg import binary

_TIMEOUT = 60  # seconds


@dataclass(frozen=True)
class Probed:
    """Length in seconds, size in pixels, and the codecs; None where the file has no such stream."""

    seconds: float
    width: int | None
    height: int | None
    frames_per_second: float | None
    video_codec: str | None
    audio_codec: str | None


def probe(path: Path) -> Probed:
    """Read the headers of a file. Raises PermanentError, naming the file, when it is no media file."""
    said = subprocess.run(
        [binary(), "-hide_banner", "-nostdin", "-i", str(path)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_TIMEOUT,
        check=False,
    ).stderr
    length = re.search(r"Duration: (\d+):(\d+):([\d.]+)", said)
    picture = re.search(r"Stream #.*?: Video: (\w+).*?, (\d+)x(\d+)", said)
    sound = re.search(r"Stream #.*?: Audio: (\w+)", said)
    rate = re.search(r"([\d.]+) fps", said)
    if length is None or (picture is None and sound is None):
        last = said.strip().splitlines()[-1] if said.strip() else "nothing readable"
        raise PermanentError(f"{path.name} is not a readable media file: {last}")
    hours, minutes, seconds = length.groups()
    return Probed(
        seconds=int(hours) * 3600 + int(minutes) * 60 + float(seconds),
        width=int(picture.group(2)) if picture else None,
        height=int(picture.group(3)) if picture else None,
        frames_per_second=float(rate.group(1)) if rate else None,
        video_codec=picture.group(1) if picture else None,
        audio_codec=sound.group(1) if sound else None,
    )
