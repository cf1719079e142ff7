"""From any number of channels to the two that a video has, by one stated rule."""

from __future__ import annotations

import re

from ytray.studio.render.probe import Probed

_PLAIN = ("mono", "stereo")


def mixed_down(found: Probed) -> str:
    """A filter that makes stereo of a file's sound.

    Mono is heard on both sides. Surround of a layout that ffmpeg knows is mixed down as ffmpeg does by default
    (centre and surrounds at -3 dB, no low frequencies: ITU-R BS.775). Of ambisonic sound, two cardioids are taken that
    look left and right (W ± Y, in ACN order). Channels without a layout, as multitrack recorders write them, are heard
    in the middle, at their mean.
    """
    channels = found.channels or ""
    counted = re.fullmatch(r"(\d+) channels.*", channels)
    if channels.startswith("ambisonic"):
        return "pan=stereo|c0=0.5*c0+0.5*c1|c1=0.5*c0-0.5*c1"
    if counted:
        count = int(counted.group(1))
        mean = "+".join(f"{1 / count:.6f}*c{place}" for place in range(count))
        return f"pan=stereo|c0={mean}|c1={mean}"
    return "aformat=channel_layouts=stereo"


def is_plain(found: Probed) -> bool:
    """Whether the sound has one or two channels: every encoder and every platform takes them as they are."""
    return found.channels in _PLAIN
