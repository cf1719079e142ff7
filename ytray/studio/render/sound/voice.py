"""Where a narration is heard in a finished sound, also under music: the envelopes of their speech bands, compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ytray.errors import PermanentError
from ytray.studio import foreign
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.probe import headers, reading
from ytray.studio.render.sound.channels import mixed_down
from ytray.studio.render.work import work_folder

HOP = 0.005  # seconds: one value of an envelope
RATE = 8000  # Hz of the sound that envelopes are taken of
AT_ZERO = f"aresample={RATE}:async=1:first_pts=0"  # a late or missing piece of sound becomes silence in its place
# The band of the telephone (ITU-T G.712): most of speech is in it, and much of music is not.
IN_STEREO = f"{AT_ZERO},aformat=sample_fmts=s16:channel_layouts=stereo"
SPEECH_BAND = f"highpass=f=300,lowpass=f=3400,{AT_ZERO},aformat=sample_fmts=s16:channel_layouts=mono"

# Amplitude to the power of 0.6: loud vowels count for less than in the amplitude itself, pauses full of music for less
# than in decibels. By trial with voices under a beat and a tremolo 10 LU softer, both of those erred more.
_COMPRESSION = 0.3
_SMOOTHED = 3  # values
_SPEAKING = 1e-4  # of the loudest: 40 dB below it somebody still speaks
_LEAST_POWER = 1e-8  # mean square of the loudest, -80 dB of full scale: softer is no narration
_TIMEOUT = 600  # seconds

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Heard:
    """How a narration was found in a sound.

    Args:
        lag: seconds that it is late there (negative: early).
        likeness: correlation of the envelopes at that lag, at most 1. Unlike sounds reach about 0.45.
        likeness_in_time: the best correlation at a lag within the tolerance.
    """

    lag: float
    likeness: float
    likeness_in_time: float


def speech_envelope(narration: Path, start: float = 0.0, seconds: float | None = None) -> Floats:
    """The speech band of a sound file: the mean square of each `HOP` seconds, full scale being 1.

    From its second `start` on, for so many `seconds`; it is decoded from its beginning, without a seek.
    Raises PermanentError, naming the file, when it cannot be decoded or has no sound.
    """
    return _decoded(narration, SPEECH_BAND, start, seconds, lambda raw: mean_squares(raw, round(RATE * HOP)))


def sides_of(clip: Path, start: float, seconds: float) -> Floats:
    """How much louder a file's left side is than its right one, as `sides` tells it, from its second `start` on.

    Raises PermanentError, naming the file, when it cannot be decoded or has no sound.
    """
    return _decoded(clip, IN_STEREO, start, seconds, sides)


def _decoded(
    narration: Path, filters: str, start: float, seconds: float | None, measure: Callable[[Path], Floats]
) -> Floats:
    """A measure of the sound of a file, mixed down and filtered to 16 bits."""
    found = headers(narration)
    with work_folder() as folder:
        cut = f"atrim=start={start:.6f}" + (f":duration={seconds:.6f}" if seconds is not None else "")
        heard_as = f"{mixed_down(found)},{filters},{cut}"
        arguments = [*reading(narration, folder), "-map", found.sound, "-af", heard_as, "-f", "s16le", "sound"]
        command = [binary(), "-hide_banner", "-nostdin", "-v", "error", *arguments]
        done = foreign.run(command, folder=folder, timeout=_TIMEOUT)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()[-300:].replace("input", narration.name)
            raise PermanentError(f"{narration.name} is no narration that can be decoded: {said}")
        return measure(folder / "sound")


def mean_squares(raw: Path, values: int) -> Floats:
    """The mean square of each so many values of a file of 16-bit samples, full scale being 1; read piece by piece."""
    return _levels(raw, values, 1)[:, 0]


def sides(raw: Path) -> Floats:
    """How much louder the left is than the right in a file of 16-bit stereo, each `HOP` seconds, about -1 to 1."""
    levels = _levels(raw, round(RATE * HOP), 2) ** _COMPRESSION
    return np.asarray(levels[:, 0] - levels[:, 1])


def _levels(raw: Path, values: int, channels: int) -> Floats:
    """The mean square of each so many samples of each channel."""
    found = [np.zeros((0, channels))]
    piece = values * channels * 2
    with raw.open("rb") as file:
        while data := file.read(piece * 4096):
            samples = np.frombuffer(data[: len(data) // piece * piece], "<i2").astype(np.float64) / 32768
            found.append((samples.reshape(-1, values, channels) ** 2).mean(axis=1))
    return np.concatenate(found)


def speaking(narration: Floats) -> NDArray[np.bool_]:
    """For each value of a narration's envelope whether somebody speaks."""
    loudest = narration.max(initial=0.0)
    return np.asarray((narration > loudest * _SPEAKING) & (loudest > _LEAST_POWER))


def heard(
    narration: Floats, sound: Floats, at: float, tolerance: tuple[float, float], within: float = 1.0
) -> Heard | None:
    """Find a narration in a finished sound, near where it should begin.

    The envelopes of both speech bands are compressed, and Pearson's correlation is taken at every lag in steps of 5 ms;
    the best one is the narration's. Music adds to the envelope but does not follow the narration, so it lowers the
    correlation without moving its peak.

    Args:
        narration: its `speech_envelope`.
        sound: the finished sound's, from its first second on.
        at: second at which the narration should begin.
        tolerance: lags in seconds, from and to, between which it counts as in time.
        within: seconds to either side in which it is looked for.

    None when the narration is silent.
    """
    if not speaking(narration).any():
        return None
    reach = round(within / HOP)
    first = round(at / HOP) - reach
    wanted = len(narration) + 2 * reach
    piece = sound[max(0, first) : max(0, first + wanted)]
    before = max(0, -first)
    piece = np.pad(piece, (before, max(0, wanted - before - len(piece))))
    pattern = _compressed(narration)
    pattern -= pattern.mean()
    windows = np.lib.stride_tricks.sliding_window_view(_compressed(piece), len(pattern))
    likeness = np.array([_correlation(pattern, window) for window in windows])
    best = int(likeness.argmax())
    lags = (np.arange(len(likeness)) - reach) * HOP
    in_time = likeness[(lags >= tolerance[0]) & (lags <= tolerance[1])].max(initial=-1.0)
    return Heard(round(float(lags[best]), 4), float(likeness[best]), float(in_time))


def _compressed(envelope: Floats) -> Floats:
    return np.asarray(np.convolve(envelope, np.ones(_SMOOTHED) / _SMOOTHED, "same") ** _COMPRESSION)


def _correlation(pattern: Floats, window: Floats) -> float:
    """Pearson's correlation; the pattern's mean is 0 already."""
    scale = np.linalg.norm(pattern) * np.linalg.norm(window - window.mean())
    return float(pattern @ window / scale) if scale > 0 else 0.0
