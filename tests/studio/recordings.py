"""Recordings as phones, cameras and recorders of screens write them; every picture says which one it is.

The upper half of a picture holds its number (`time_codes.read`), the lower half is red, green and blue from left to
right, so that nothing can be turned or mirrored unseen. It flashes white for a tenth of a second while a beep is heard.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.studio.measure import Pixels, frames, samples
from tests.studio.time_codes import BITS, SIZE
from ytray.studio.render.ffmpeg import binary

FLASH = 1.0  # seconds: when the picture flashes and the beep begins
SECONDS = 3.0
BEEP = f"0.6*sin(2*PI*1000*t)*between(t,{FLASH},{FLASH}+0.1)"
_H264 = "-c:v libx264 -preset ultrafast -crf 12 -pix_fmt yuv420p -g 30 -bf 2".split()
_VP9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -crf 15 -b:v 0 -c:a libopus".split()
_AAC = "-c:a aac -b:a 128k".split()
_HLG = "-color_primaries bt2020 -color_trc arib-std-b67 -colorspace bt2020nc"
_HEVC10 = f"-c:v libx265 -preset ultrafast -crf 12 -x265-params log-level=error -tag:v hvc1 {_HLG}".split()
_TO_2020 = "scale=out_color_matrix=bt2020nc:out_range=tv,format=yuv420p10le"


@dataclass(frozen=True)
class Recording:
    """How a recording is written.

    Args:
        ending: of its name, by which ffmpeg chooses the container.
        rate: pictures a second, before some are left out.
        seconds: its length.
        size: of the upright picture.
        stored: filters from the upright pictures to those that are stored.
        kept: an expression of ffmpeg that says which pictures are in it, and the same in Python, by number.
        coded: how pictures and sound are encoded.
        sound: samples a second, channels; None: there is none.
        heard: filters of the sound.
        remade: options by which its streams are copied into the final file, `{}` standing for what was encoded.
        cut: seconds that its container leaves out at the beginning.
        broken: seconds by which the clock jumps after its first second.
    """

    ending: str = "mp4"
    rate: str = "30"
    seconds: float = SECONDS
    size: tuple[int, int] = SIZE
    stored: str = "null"
    kept: tuple[str, Callable[[int], bool]] = ("1", lambda _: True)
    coded: tuple[str, ...] = (*_H264, *_AAC)
    sound: tuple[int, str] | None = (48_000, "stereo")
    heard: str = "anull"
    remade: tuple[str, ...] = ()
    cut: float = 0.0
    broken: float = 0.0


def _turned(degrees: int, stored: str, *more: str) -> Recording:
    return Recording(stored=stored, remade=("-display_rotation", str(degrees), *more, "-i", "{}", "-c", "copy"))


def _animated(ending: str, codec: str) -> Recording:
    """Pictures that stand for unequal times, without sound."""
    kept = ("lt(n,20)+gte(n,40)+not(mod(n,10))", lambda n: n < 20 or n >= 40 or n % 10 == 0)
    coded = (*codec.split(), "-fps_mode", "passthrough")
    return Recording(ending=ending, rate="20", kept=kept, coded=coded, sound=None)


def _with_sound(rate: int, channels: str, ending: str, *codec: str) -> Recording:
    return Recording(ending=ending, coded=(*_H264, *codec), sound=(rate, channels))


RECORDINGS: dict[str, Recording] = {
    "a recorded screen that stands still at times": Recording(
        rate="60",
        kept=("lt(n,45)+gte(n,150)+not(mod(n,60))", lambda n: n < 45 or n >= 150 or n % 60 == 0),
        coded=(*_H264, *_AAC, "-fps_mode", "passthrough"),
        sound=(44_100, "stereo"),
    ),
    "a phone's picture a second": Recording(
        rate="60", kept=("not(mod(n,60))", lambda n: n % 60 == 0), coded=(*_H264, *_AAC, "-fps_mode", "passthrough")
    ),
    "a phone held upright": _turned(-90, "transpose=cclock"),
    "a phone held upright, the other way": _turned(90, "transpose=clock"),
    "a phone upside down": _turned(180, "hflip,vflip"),
    "a front camera": _turned(0, "hflip", "-display_hflip"),
    "a front camera held upright": _turned(-90, "vflip,transpose=cclock", "-display_vflip"),
    "10 bits of HLG at 60 a second, turned": Recording(
        ending="mov",
        rate="60",
        stored=f"transpose=cclock,{_TO_2020}",
        coded=(*_HEVC10, *_AAC),
        remade=("-display_rotation", "-90", "-i", "{}", "-c", "copy"),
    ),
    "slow motion of 120 a second": Recording(ending="mov", rate="120"),
    "slow motion of 240 a second": Recording(ending="mov", rate="240"),
    "29.97 a second": Recording(ending="mov", rate="30000/1001"),
    "23.976 a second": Recording(ending="mov", rate="24000/1001"),
    "cut in a phone without encoding": Recording(
        seconds=4.0, coded=(*_H264, *_AAC), remade=("-ss", "0.7", "-i", "{}", "-c", "copy"), cut=0.7
    ),
    "pixels that are not square": Recording(stored=f"scale={SIZE[0] * 3 // 4}:{SIZE[1]},setsar=4/3"),
    "fields": Recording(rate="25", stored="setfield=tff", coded=(*_H264, "-flags", "+ilme+ildct", *_AAC)),
    "an odd size": Recording(ending="webm", size=(161, 285), coded=tuple(_VP9)),
    "sound at 44.1 kHz": _with_sound(44_100, "stereo", "mp4", *_AAC),
    "sound at 96 kHz": _with_sound(96_000, "stereo", "mov", "-c:a", "pcm_s24le"),
    "sound at 22.05 kHz, mono": _with_sound(22_050, "mono", "mp4", *_AAC),
    "sound that begins late": Recording(heard="atrim=start=0.6"),
    "sound that ends early": Recording(heard="atrim=end=1.4"),
    "shorter than its scene": Recording(seconds=1.5),
    "without sound": Recording(sound=None, coded=tuple(_H264)),
    "a last packet of no length": Recording(
        coded=(*_H264, "-bf", "0", *_AAC),
        remade=("-i", "{}", "-c", "copy", "-bsf:v", r"setts=duration=if(gte(N\,89)\,0\,DURATION)"),
    ),
    "times below zero": Recording(
        ending="mkv", remade=("-i", "{}", "-c", "copy", "-output_ts_offset", "-0.5", "-avoid_negative_ts", "disabled")
    ),
    "a clock of 33 bits that begins again": Recording(
        ending="ts", remade=("-i", "{}", "-c", "copy", "-output_ts_offset", "95441.3")
    ),
    "a GIF": _animated("gif", "-c:v gif"),
    "an animated PNG": _animated("apng", "-c:v apng -plays 0"),
    "an animated WebP": _animated("webp", "-c:v libwebp_anim -lossless 1 -loop 0"),
    "a sequence of AVIF": _animated("avif", "-c:v libsvtav1 -preset 11 -crf 12"),
    "two broadcasts that were joined": Recording(ending="ts", broken=1000),
    "a broadcast whose clock went back": Recording(ending="ts", broken=-500),
}


def _drawn(recording: Recording) -> Iterator[bytes]:
    width, height = recording.size
    rate = Fraction(recording.rate)
    columns = np.minimum(np.arange(width) // (width // BITS), BITS - 1)
    for number in range(round(recording.seconds * rate)):
        picture = np.zeros((height, width, 3), np.uint8)
        picture[: height // 2] = np.where((number >> columns) & 1, 235, 16)[None, :, None]
        if FLASH <= number / rate < FLASH + 0.1:
            picture[height // 2 :] = 255
        else:
            for place in range(3):
                picture[height // 2 :, place * width // 3 : (place + 1) * width // 3, place] = 200
        yield picture.tobytes()


def record(recording: Recording, folder: Path) -> Path:
    """Write the recording."""
    first = folder / f"encoded.{recording.ending}"
    width, height = recording.size
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", recording.rate, "-i", "-"]
    chosen = f"select='{recording.kept[0]}',scale=out_color_matrix=bt709:out_range=tv,{recording.stored}"
    sound = []
    if recording.sound is not None:
        rate, channels = recording.sound
        made = f"aevalsrc='{BEEP}':s={rate}:d={recording.seconds},aformat=channel_layouts={channels}"
        sound = ["-f", "lavfi", "-i", made, "-af", recording.heard]
    command = [binary(), "-v", "error", "-y", *raw, *sound, "-vf", chosen, *recording.coded, str(first)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for picture in _drawn(recording):
            process.stdin.write(picture)
        process.stdin.close()
        assert process.wait() == 0
    last = folder / f"recording.{recording.ending}"
    if recording.broken:
        split = ["-c", "copy", "-f", "segment", "-segment_times", "1", "-segment_format", "mpegts"]
        _copied(["-i", str(first), *split], folder / "%d.ts")
        for place in range(2):
            later = ["-c", "copy", "-output_ts_offset", str(600 + place * recording.broken)]
            _copied(["-i", str(folder / f"{place}.ts"), *later], folder / f"later{place}.ts")
        last.write_bytes((folder / "later0.ts").read_bytes() + (folder / "later1.ts").read_bytes())
        return last
    if not recording.remade:
        return first
    _copied([str(first) if each == "{}" else each for each in recording.remade], last)
    return last


def _copied(arguments: list[str], into: Path) -> None:
    subprocess.run([binary(), "-v", "error", "-y", *arguments, str(into)], check=True)


def held(recording: Recording, at: float) -> set[int]:
    """The numbers of the pictures that may be seen at a second of it, to one of 30 frames a second."""
    rate = Fraction(recording.rate)
    there = [n for n in range(round(recording.seconds * rate)) if recording.kept[1](n)]
    times = {n: float(n / rate) - recording.cut for n in there}
    near = {n for n in there if abs(times[n] - at) <= 1 / 30 + 0.001}
    before = [n for n in there if times[n] <= at]
    return near | ({before[-1]} if before else {there[0]})


def flash_and_beep(video: Path) -> tuple[float, float]:
    """The seconds at which a video flashes and beeps."""
    lower = frames(video, 30, 32, 64)[:, 40:60].min(axis=(1, 2, 3))
    heard = np.abs(samples(video, 48_000).astype(np.int32))
    return float(np.argmax(lower > 150)) / 30, float(np.argmax(heard > heard.max() / 4)) / 48_000


def is_upright(picture: Pixels) -> bool:
    """Whether red, green and blue stand from left to right in its lower half."""
    height, width = picture.shape[:2]
    places = [picture[height * 3 // 4, width * (2 * third + 1) // 6] for third in range(3)]
    return [int(place.argmax()) for place in places] == [0, 1, 2]
