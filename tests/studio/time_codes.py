"""Clips whose every picture says which one it is, in any container; and what a finished video shows of them."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ytray.studio.render.ffmpeg import binary

BITS = 10  # of a picture's number: it stands in columns, white for 1, in the upper half of the picture
SIZE = (160, 284)
_H264 = "-c:v libx264 -preset ultrafast -crf 12 -sc_threshold 0 -bf 2 -c:a aac".split()
_MPEG2 = "-c:v mpeg2video -q:v 2 -bf 2 -c:a mp2".split()
CONTAINERS: dict[str, tuple[list[str], str]] = {
    "mp4": (_H264, "mp4"),
    "mp4 without an index": ([*_H264, *"-movflags frag_keyframe+empty_moov+delay_moov".split()], "mp4"),
    "mov": (_H264, "mov"),
    "mkv": (_H264, "mkv"),
    "mkv without an index": ([*_H264, "-live", "1"], "mkv"),
    "webm": ("-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -crf 15 -b:v 0 -c:a libopus".split(), "webm"),
    "ts": (_H264, "ts"),
    "ts of MPEG-2": (_MPEG2, "ts"),
    "program stream": (_MPEG2, "mpg"),
    "flv": (_H264, "flv"),
    "flv without an index": ([*_H264, *"-flvflags no_duration_filesize".split()], "flv"),
    "avi": ("-c:v mpeg4 -q:v 2 -c:a mp3".split(), "avi"),
    "wmv": ("-c:v wmv2 -q:v 2 -c:a wmav2".split(), "wmv"),
    "ogg": ("-c:v libtheora -q:v 9 -c:a libvorbis".split(), "ogv"),
}
GROUPS = {"0.5 s": 15, "8 s": 240, "one": 100_000}  # pictures between key pictures


def made(folder: Path, container: str, group: int, seconds: float) -> Path:
    """A clip with time codes, a click of its own pitch each second, and a key picture each `group` pictures."""
    options, ending = CONTAINERS[container]
    clip = folder / f"clip.{ending}"
    grouped = ["-g", str(group), "-keyint_min", str(group)]
    source = Path(_drawn().name, f"{seconds}.mkv")
    if not source.exists():
        _draw(source, seconds)
    subprocess.run([binary(), "-v", "error", "-y", "-i", str(source), *options, *grouped, str(clip)], check=True)
    return clip


@cache
def _drawn() -> TemporaryDirectory[str]:
    """Where the pictures lie from which all clips of a length are encoded: drawing them takes longest."""
    return TemporaryDirectory(prefix="ytray-test-")


def _draw(file: Path, seconds: float) -> None:
    columns = f"if(mod(floor(N/pow(2,floor(X/{SIZE[0] // BITS}))),2),235,16)"
    picture = f"color=gray:s={SIZE[0]}x{SIZE[1]}:r=30:d={seconds},format=gray,geq=lum='if(lt(Y,{SIZE[1] // 2}),"
    picture += f"{columns},128+60*sin(X/9+N/7))',format=yuv420p"
    clicks = f"aevalsrc='0.5*sin(2*PI*(400+100*floor(t))*t)*lt(mod(t,1),0.1)':s=48000:d={seconds}"
    command = [binary(), "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", clicks]
    subprocess.run([*command, *"-c:v ffv1 -c:a pcm_s16le".split(), str(file)], check=True)


def read(video: Path) -> list[int]:
    """The number that each picture of a video shows."""
    filters = f"crop=iw:ih*0.3:0:ih*0.1,scale={BITS}:1:flags=area,format=gray"
    command = [binary(), "-v", "error", "-i", str(video), "-vf", filters, "-f", "rawvideo", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    lit = np.frombuffer(raw, np.uint8).reshape(-1, BITS) > 125
    return [int(number) for number in (lit * 2 ** np.arange(BITS)).sum(axis=1)]
