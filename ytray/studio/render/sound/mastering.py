"""Loudness and peak by EBU R 128: measured in one pass, brought to what the platforms play at in a second."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ytray.studio.render import ffmpeg

RATE = 48_000  # Hz: of video everywhere
RAW = ["-f", "f32le", "-ar", str(RATE), "-ch_layout", "stereo"]  # how sound lies in files until it is finished
LOUDNESS = -14.0  # LUFS integrated: what YouTube and TikTok turn a video down to
_PEAK = -1.0  # dBTP: the most that the finished file may have
_CEILING = -2.0  # dBTP at which the limiter holds at first; AAC comes out up to a decibel higher
_TRACK_CEILING = -3.0  # dBFS: leaves the master's limiter little to do
_NEAR = 0.25  # LU from the target at which it is left
_ATTEMPTS = 6
_MOST_DRIVE = 12.0  # dB into the limiter beyond what the loudness asks for: after that it would only distort
_GATE = -70.0  # LUFS: the measure's absolute gate; what is softer counts as silence
_OVERSAMPLED = 4 * RATE  # Hz at which true peaks are limited, as they are measured (ITU-R BS.1770)
_LAST_BYTES = 4096  # of the file of measures: more than one block's


@dataclass(frozen=True)
class Measured:
    """Integrated loudness in LUFS, None where it is silent; true peak in dBTP."""

    loudness: float | None
    peak: float


def measuring(name: str) -> str:
    """Filters that pass sound through and write its measures to the file `name` in the working folder."""
    return f"ebur128=metadata=1:peak=true,ametadata=print:file={name}"


def measured(file: Path) -> Measured:
    """What `measuring` has written. Nothing is there when there was no sound."""
    with file.open("rb") as lines:
        lines.seek(max(0, file.stat().st_size - _LAST_BYTES))
        last = lines.read().decode()
    values = dict(line.split("=", 1) for line in last.splitlines() if line.startswith("lavfi.") and "=" in line)
    loudness = float(values.get("lavfi.r128.I", _GATE))
    peak = float(values.get("lavfi.r128.true_peak", 0.0))
    return Measured(loudness if loudness > _GATE else None, 20 * math.log10(peak) if peak > 0 else -math.inf)


def limit(track: Path, output: Path, *, samples: int, progress: Callable[[float], None] = lambda _: None) -> None:
    """Hold the peaks of a track of about -14 LUFS, and bring it back to that: what is mixed with it keeps its distance.

    Args:
        track: stereo floats at 48 kHz (`RAW`), `samples` long; `output`, in the same folder, is such a file too.
    """
    folder, seconds = track.parent, samples / RATE

    def attempt(gain: float, ceiling: float, told: Callable[[float], None]) -> Measured:
        output.unlink(missing_ok=True)  # a long track takes much of the disk
        filters = f"{_limited(gain, ceiling)},{measuring('found')}"
        arguments = [*RAW, "-i", track.name, "-af", filters, "-f", "f32le"]
        ffmpeg.run(arguments, output, seconds=seconds, folder=folder, progress=told)
        return measured(folder / "found")

    _approach(attempt, 0.0, _TRACK_CEILING, 0.0, progress)


def master(
    mix: Path, before: Measured, output: Path, *, samples: int, progress: Callable[[float], None] = lambda _: None
) -> None:
    """Encode a mix to an AAC file of -14 LUFS and at most -1 dBTP, measured in the finished file.

    A plain gain, and a limiter for what would then be too high. ffmpeg's loudnorm is that gain when the peaks allow it,
    and rides the level without a word when they do not. A sound of single clicks comes out softer than -14 LUFS: it
    cannot be so loud undistorted.

    Args:
        mix: stereo floats at 48 kHz (`RAW`); its folder takes the drafts.
        before: what the mix was measured at. Silence is left as it is.
        output: an M4A file, exactly `samples` long.
    """
    folder, seconds = mix.parent, samples / RATE
    draft = folder / "draft.m4a"

    def attempt(gain: float, ceiling: float, told: Callable[[float], None]) -> Measured:
        limited = f"aresample={_OVERSAMPLED},{_limited(gain, ceiling)},aresample={RATE}"
        filters = f"{limited},apad=whole_len={samples},atrim=end_sample={samples}"
        encoder = ["-fflags", "+bitexact", "-flags:a", "+bitexact", "-c:a", "aac", "-b:a", "192k"]
        arguments = [*RAW, "-i", mix.name, "-af", filters, *encoder]
        ffmpeg.run(arguments, draft, seconds=seconds, folder=folder, progress=told)
        arguments = ["-i", draft.name, "-af", measuring("found"), "-f", "crc"]
        ffmpeg.run(arguments, folder / "checksum", seconds=seconds, folder=folder)
        return measured(folder / "found")

    gain = LOUDNESS - before.loudness if before.loudness is not None else 0.0
    _approach(attempt, gain, _CEILING, _PEAK, progress)
    ffmpeg.run(["-i", draft.name, "-c", "copy", "-fflags", "+bitexact"], output, seconds=seconds, folder=folder)


def _limited(gain: float, ceiling: float) -> str:
    linear = 10 ** (ceiling / 20)
    return f"volume={gain:.3f}dB:precision=float,alimiter=limit={linear:.6f}:attack=5:release=50:level=0:latency=1"


def _approach(
    attempt: Callable[[float, float, Callable[[float], None]], Measured],
    gain: float,
    ceiling: float,
    highest: float,
    progress: Callable[[float], None],
) -> None:
    """Try gains and ceilings until what comes out is at the target, and no peak above `highest`.

    What a limiter and an encoder change is known only afterwards, so it is measured and made up for. Mostly one attempt
    or two are enough.
    """
    most = gain + _MOST_DRIVE
    tried: list[tuple[float, float]] = []  # gains, and the loudness that each gave
    for number in range(_ATTEMPTS):
        rest = 0.5**number  # each attempt counts as half of what is left

        def told(share: float, rest: float = rest) -> None:
            progress(1 - rest + share * rest / 2)

        found = attempt(gain, ceiling, told)
        too_high = found.peak - highest
        missing = LOUDNESS - found.loudness if found.loudness is not None else 0.0
        if too_high <= 0 and (abs(missing) <= _NEAR or gain >= most):
            return
        ceiling -= too_high + 0.3 if too_high > 0 else 0.0
        tried.append((gain, LOUDNESS - missing))
        gain = min(gain + missing / _slope(tried), most)


def _slope(tried: list[tuple[float, float]]) -> float:
    """How many LU a decibel of gain brings: one without a limiter, about half at first with one, then as it was."""
    if len(tried) < 2:
        return 0.5
    (gain, loudness), (later_gain, later_loudness) = tried[-2:]
    if gain == later_gain:
        return 0.5
    return min(1.0, max(0.2, (later_loudness - loudness) / (later_gain - gain)))
