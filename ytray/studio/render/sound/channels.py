"""From any number of channels to the two that a video has, by one stated rule."""

from __future__ import annotations

import re
from functools import cache
from math import sqrt

from ytray.studio import foreign
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.probe import Probed

_PLAIN = ("mono", "stereo")
_ASIDE = sqrt(0.5)  # -3 dB
_TIMEOUT = 60  # seconds
_PAN = "aformat=sample_fmts=fltp,pan=stereo"  # whole numbers would be cut off where channels add up to too much


def mixed_down(found: Probed) -> str:
    """A filter that makes stereo of a file's sound.

    Mono is heard on both sides. Surround of a layout that ffmpeg knows is mixed down as ffmpeg does by default
    (centre and surrounds at -3 dB, no low frequencies: ITU-R BS.775), and so are loudspeakers overhead, of which ffmpeg
    leaves some out. Of ambisonic sound, two cardioids are taken that look left and right (W ± Y, in ACN order), and
    stereo that goes with it as it is. Channels without a layout, as multitrack recorders write them, are heard in the
    middle, at their mean.
    """
    channels = found.channels or ""
    around = re.fullmatch(r"ambisonic (\d+)(\+stereo)?", channels)
    if around:
        beside = (int(around.group(1)) + 1) ** 2
        left, right = (f"+c{beside}", f"+c{beside + 1}") if around.group(2) else ("", "")
        return f"{_PAN}|c0=0.5*c0+0.5*c1{left}|c1=0.5*c0-0.5*c1{right}"
    counted = re.fullmatch(r"(\d+) channels(?: \(([A-Z0-9+]+)\))?.*", channels)
    speakers = counted.group(2).split("+") if counted and counted.group(2) else _layouts().get(channels, [])
    if speakers and (counted or any(speaker.startswith("T") for speaker in speakers)):
        left, right = ("+".join(f"{part:.4f}*c{n}" for n, part in _parts(speakers, side)) for side in "LR")
        return f"{_PAN}|c0={left}|c1={right}"
    if counted:
        count = int(counted.group(1))
        mean = "+".join(f"{1 / count:.6f}*c{place}" for place in range(count))
        return f"{_PAN}|c0={mean}|c1={mean}"
    return "aformat=channel_layouts=stereo"


def _parts(speakers: list[str], side: str) -> list[tuple[int, float]]:
    """Which of the loudspeakers are heard on a side, and how loud: those in front on it, others and the middle softer.

    `FLC` stands left of the centre, `TBR` overhead, behind on the right.
    """
    other = "R" if side == "L" else "L"
    heard = [
        (place, 1.0 if speaker in (f"F{side}", f"F{side}C", f"D{side}") else _ASIDE)
        for place, speaker in enumerate(speakers)
        if not speaker.startswith("LFE") and other not in speaker
    ]
    return heard or [(0, 0.0)]


@cache
def _layouts() -> dict[str, list[str]]:
    """The loudspeakers of each layout that ffmpeg has a name for, in their order."""
    told = foreign.text(foreign.run([binary(), "-v", "error", "-layouts"], timeout=_TIMEOUT).stdout)
    _, _, named = told.partition("Standard channel layouts:")
    return {name: speakers.split("+") for name, speakers in re.findall(r"^(\S+) +([A-Z0-9+]+)$", named, re.MULTILINE)}


def is_plain(found: Probed) -> bool:
    """Whether the sound has one or two channels: every encoder and every platform takes them as they are."""
    return found.channels in _PLAIN
