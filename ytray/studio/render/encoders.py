"""Who encodes a part: libx264, or NVENC where a card has it and one frame could really be encoded.

All parts of a video are encoded alike, so that they can stand in one stream. Cards without NVENC exist (H100, H200):
there clips are decoded on the card and encoded by libx264. What was used is recorded in every result.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ytray.studio import foreign
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.frames import BT709
from ytray.studio.render.timeline import FRAMES_PER_SECOND

TAGGED = f"format=yuv420p,{BT709}"
"""The end of every filter graph: an encoder tags its stream as its frames are tagged."""
# Each part begins with a key frame of its own, and time is counted alike in all.
_STREAM = (
    *("-pix_fmt", "yuv420p", "-g", str(2 * FRAMES_PER_SECOND), "-flags", "+cgop"),
    *("-video_track_timescale", str(512 * FRAMES_PER_SECOND)),
)
_PROBE_TIMEOUT = 20  # seconds


@dataclass(frozen=True)
class Encoder:
    """How parts are encoded: ffmpeg's arguments for the output and before a clip. Equal `encoding`s can be joined."""

    name: str
    encoding: tuple[str, ...]
    decoding: tuple[str, ...] = ()


# One thread for each part: parts are encoded side by side, which costs less than threads that wait for each other,
# and the bytes do not depend on how many cores a machine has.
CPU = Encoder(
    "libx264 veryfast crf 20", ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-threads", "1", *_STREAM)
)
_ON_CARD = ("-hwaccel", "cuda")
NVENC = Encoder(
    "h264_nvenc p5 cq 21",
    ("-c:v", "h264_nvenc", "-preset", "p5", "-rc", "vbr", "-cq", "21", "-b:v", "0", "-bf", "2", *_STREAM),
    _ON_CARD,
)
DECODED_ON_CARD = Encoder(f"{CPU.name}, clips decoded by CUDA", CPU.encoding, _ON_CARD)


@cache
def encoders() -> tuple[Encoder, ...]:
    """The encoders of this machine, best first; libx264 always comes last. Found out once in a process."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return (CPU,)
    first = NVENC if _works(NVENC) else DECODED_ON_CARD
    return (first, CPU)


def _works(encoder: Encoder) -> bool:
    """Whether one frame can be encoded: that the library knows an encoder says nothing about the card."""
    frame = ["-f", "lavfi", "-i", "color=black:s=256x256:r=30", "-frames:v", "1"]
    try:
        done = foreign.run(
            [binary(), "-hide_banner", "-nostdin", "-v", "error", *frame, *encoder.encoding, "-f", "null", "-"],
            timeout=_PROBE_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
