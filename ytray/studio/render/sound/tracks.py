"""Decoded sound in files: measured, faded and laid into tracks as long as the video, a piece at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ytray.errors import PermanentError
from ytray.studio.render import ffmpeg
from ytray.studio.render.probe import Probed, headers, reading
from ytray.studio.render.sound.channels import mixed_down
from ytray.studio.render.sound.mastering import RATE, measured, measuring

FADE = RATE // 100  # samples at either end of a sound: no click at a joint
_FRAME = 8  # bytes of a stereo sample
_CHUNK = RATE * 4  # samples that are in memory at once
_PAD = RATE // 2  # samples of silence after a sound while it is measured, which is done in blocks of 0.4 s
_UNREADABLE = ("Error opening input", "matches no streams", "Decoding error rate", "Invalid data")

Samples = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True)
class Decoded:
    """A sound as stereo floats at 48 kHz; its loudness in LUFS, None where it is silent."""

    file: Path
    samples: int
    loudness: float | None


def decode(
    source: Path,
    told: str,
    into: Path,
    *,
    samples: int,
    skipped: float = 0.0,
    progress: Callable[[float], None] = lambda _: None,
) -> Decoded:
    """Decode the sound of a file that players take, and measure it.

    Args:
        told: what it is, for messages: "a.wav, the narration of scene 3,".
        into: the file to write; names that begin with its name are taken too.
        samples: the most that is decoded.
        skipped: seconds left out at its beginning.

    Raises PermanentError when the file is missing or holds no sound that can be read.
    """
    # Names of our own: nothing that a user called a file can be read as an option or an address.
    link, measures = (into.with_name(f"{into.name}.{kind}") for kind in ("in", "measures"))
    seconds = samples / RATE
    found = _known(source, told)
    filters = [
        mixed_down(found),
        f"aresample={RATE}:async=1:first_pts=0",  # a sound that begins after its picture keeps its distance
        "aformat=sample_fmts=flt:channel_layouts=stereo",
        f"atrim=end_sample={samples},apad=pad_len={_PAD}",
        measuring(measures.name),
    ]
    arguments = ["-ss", f"{skipped:.6f}", "-t", f"{seconds + 1:.6f}", *reading(source, link.parent, link.name)]
    arguments += ["-map", found.sound, "-af", ",".join(filters), "-f", "f32le"]
    try:
        ffmpeg.run(
            arguments, into, seconds=seconds, folder=into.parent, progress=progress, names={link.name: source.name}
        )
    except ffmpeg.RenderFailed as failed:
        if any(sign in str(failed) for sign in _UNREADABLE):
            raise PermanentError(f"{told} is no sound that can be read; save or send it again") from failed
        raise ffmpeg.RenderFailed(f"{told} could not be decoded: {failed}") from failed
    loudness = measured(measures).loudness
    measures.unlink()
    length = max(0, into.stat().st_size // _FRAME - _PAD)
    os.truncate(into, length * _FRAME)
    return Decoded(into, length, loudness)


def _known(source: Path, told: str) -> Probed:
    try:
        return headers(source)
    except PermanentError as wrong:
        raise PermanentError(str(wrong).replace(source.name, told, 1)) from wrong


def shaped(
    sound: Decoded, *, samples: int, factor: float, fade_in: int, fade_out: int
) -> Iterator[tuple[int, Samples]]:
    """A decoded sound as it is heard for `samples`, in pieces, each with the sample at which it begins.

    The fades are quarters of a sine, so that two sounds that crossfade are together as loud as one. A sound that ends
    before its time fades out at its end too.
    """
    with sound.file.open("rb") as source:
        for first in range(0, sound.samples, _CHUNK):
            piece = _read(source.read(min(_CHUNK, sound.samples - first) * _FRAME))
            at = np.arange(first, first + len(piece))
            shares = (at / fade_in, (samples - at) / fade_out, (sound.samples - at) / FADE)
            level = factor * np.prod([np.sin(np.pi / 2 * np.clip(share, 0, 1)) for share in shares], axis=0)
            # A broken file of floats may hold numbers that are none; one would silence the whole mix.
            clean = np.nan_to_num(piece, nan=0.0, posinf=0.0, neginf=0.0)
            yield first, (clean * level[:, None]).astype(np.float32)


def fade_ends(sound: Decoded) -> None:
    """Fade both ends of a decoded sound where it lies, so that it can follow itself without a click."""
    fade = min(FADE, sound.samples // 2)
    rising = np.linspace(0, 1, fade, dtype=np.float32)[:, None]
    with Track(sound.file, sound.samples) as track:
        track.scale(0, fade, rising)
        track.scale(sound.samples - fade, fade, rising[::-1])


class Track:
    """A track of so many samples in a file with holes: where nothing is heard it takes no space and no time."""

    def __init__(self, file: Path, samples: int) -> None:
        self._file = file.open("r+b" if file.exists() else "w+b")
        self._file.truncate(samples * _FRAME)

    def __enter__(self) -> Track:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, at: int, sound: Samples) -> None:
        """Add a piece to what is there from sample `at` on."""
        self._write(at, self._there(at, len(sound)) + sound)

    def scale(self, at: int, samples: int, factor: float | Samples) -> None:
        """Multiply a stretch by a number, or by one for each of its samples when it is no longer than 4 s."""
        for first in range(at, at + samples, _CHUNK):
            there = self._there(first, min(_CHUNK, at + samples - first))
            self._write(first, (there * factor).astype(np.float32))

    def _there(self, at: int, samples: int) -> Samples:
        self._file.seek(at * _FRAME)
        return _read(self._file.read(samples * _FRAME))

    def _write(self, at: int, sound: Samples) -> None:
        self._file.seek(at * _FRAME)
        self._file.write(sound.astype("<f4").tobytes())


def _read(raw: bytes) -> Samples:
    return np.frombuffer(raw, "<f4").reshape(-1, 2)
