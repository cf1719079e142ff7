"""Damage that only decoding shows: a clip whose middle is corrupt, a sound with broken frames, a JPEG cut and closed.

Players and libraries pass over it and show grey, or the picture before. ffmpeg does, too, but says so.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from ytray.errors import PermanentError
from ytray.studio import foreign
from ytray.studio.render.clips import INDEXED
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.probe import Probed, reading
from ytray.studio.render.work import work_folder

_STILL = re.compile(r"error y=|error count:|overread|inflate returned error|IEND without all image|CRC mismatch")
_PICTURE = r"corrupt decoded frame|Packet mismatch"
# Said of broadcasts too, which begin within a group of pictures; so only where there is an index.
_INDEXED = (
    r"vist.*Error submitting packet|vist.*Decoding error|undecodable NALU"
    r"|Invalid track number|EBML number|exceeds containing master"
)
_SOUND = r"aist.*(?:Error submitting packet|Decoding error)|CRC mismatch"
_SCHEME = re.compile(rb"schm\0{4}(?:cenc|cens|cbc1|cbcs)")  # of an MP4's index
_INDEX = 1 << 20  # bytes at its beginning or its end in which it says so
_ENDLESS = 0x7FFF0000  # bytes from which on a WAV says that its writer did not know its length


def check_decoded(path: Path, found: Probed, start: float, seconds: float, *, is_heard: bool, within: float) -> None:
    """Decode what is wanted of a clip or a sound: `seconds` from `start` on, of its sound only when it `is_heard`.

    Raises PermanentError when that is damaged. What takes longer than `within` seconds is decoded no further.
    """
    is_indexed = found.container in INDEXED
    wanted = ["-ss", f"{start:.3f}", "-t", f"{seconds:.3f}"] if is_indexed else ["-t", f"{start + seconds:.3f}"]
    shown = found.video_codec is not None
    with work_folder() as folder:
        maps = [*(["-map", found.pictures] if shown else []), *(["-map", found.sound] if is_heard else [])]
        said = _said([*wanted, *reading(path, folder), *maps], folder, within)
    if _is_encrypted(path):
        raise PermanentError(f"{path.name} is encrypted (DRM); give a file without protection")
    if shown and re.search(f"{_PICTURE}|{_INDEXED}" if is_indexed else _PICTURE, said):
        raise PermanentError(f"{path.name} is damaged: its pictures cannot all be decoded; save or send it again")
    halves = 2 if shown and not is_indexed else 0  # broadcasts begin and end within a frame of sound
    if is_heard and len(re.findall(_SOUND, said)) > halves:
        raise PermanentError(f"{path.name} is damaged: its sound cannot be decoded wholly; save or send it again")


def check_still_decoded(path: Path, within: float) -> None:
    """Raises PermanentError for a JPEG or a PNG of which something is missing, though it ends as it should."""
    with work_folder() as folder:
        said = _said(reading(path, folder), folder, within)
    if _STILL.search(said):
        raise PermanentError(f"{path.name} is damaged or cut off: not all of it can be decoded; save or send it again")


def check_wav_is_whole(path: Path) -> None:
    """Raises PermanentError for a WAV that is shorter than it says: everybody plays it as if it ended there."""
    with path.open("rb") as file:
        start = file.read(12)
    promised = int.from_bytes(start[4:8], "little")
    is_wav = start[:4] == b"RIFF" and start[8:] == b"WAVE"
    if is_wav and path.stat().st_size + 1 < promised + 8 <= _ENDLESS:
        raise PermanentError(f"{path.name} is cut off: there is less of it than its headers promise; send it again")


def _is_encrypted(path: Path) -> bool:
    """Whether an MP4 says that its streams are: ffmpeg calls them by what they would be in the clear."""
    with path.open("rb") as file:
        start = file.read(_INDEX)
        if start[4:8] != b"ftyp":
            return False
        file.seek(max(0, path.stat().st_size - _INDEX))
        return _SCHEME.search(start + file.read(_INDEX)) is not None


def _said(arguments: list[str], folder: Path, within: float) -> str:
    """What ffmpeg says while it decodes, as far as it comes."""
    command = [binary(), "-hide_banner", "-nostdin", "-v", "warning", *arguments, "-f", "null", "-"]
    try:
        done = foreign.run(command, folder=folder, timeout=max(0.1, within))
    except subprocess.TimeoutExpired as expired:
        return foreign.text(expired.stderr or b"")
    return foreign.text(done.stderr)
