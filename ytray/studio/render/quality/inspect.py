"""What a finished video file really holds, measured by decoding it once: its streams, pictures and sound.

Nothing is taken from the timeline here. ffmpeg decodes the file in one run and hands over small grey frames, the
loudness (EBU R128) and two thin copies of the sound; frames are looked at one by one and never kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ytray.errors import PermanentError
from ytray.studio import foreign
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.probe import probe, reading
from ytray.studio.render.sound.voice import HOP, IN_STEREO, RATE, SPEECH_BAND, Floats, mean_squares, sides
from ytray.studio.render.work import work_folder

LEAST_LOUDNESS = -70.0  # LUFS: the absolute gate of ITU-R BS.1770-4; what is softer counts as silence
SIDE = 128  # pixels: frames are looked at in this size, square whatever their shape
SMALL = f"scale={SIDE}:{SIDE}:flags=area,format=gray"
AS_FRAMES = ["-fps_mode", "passthrough", "-f", "rawvideo", "-"]
BLACK, BLACK_SHARE = 16, 0.98  # a frame is black when so much of it has a luma of at most so many of 255
# A frame differs from another where more than this share of its pixels differs by more than so many of 255. Encoding
# the same still again moves averaged pixels by two at most, and a slow zoom moves its edges by far more.
MOVED, MOVED_SHARE = 5, 0.001
Frame = NDArray[np.uint8]

# A cut changes much of the picture at once, and much more than the frames around it do.
_CHANGED, _CUT_SHARE, _CUT_RISE, _AROUND = 8, 0.25, 0.15, 3
_LEAST_FROZEN = 0.5  # seconds
_SILENT = 1e-6  # mean square: -60 dB of full scale, what silencedetect takes
_SILENCE_HOP = 0.05  # seconds
_LEAST_SILENT = 0.5  # seconds
_STEADY = 0.002  # seconds that a frame may come early or late in a constant rate: containers round to milliseconds
_CURVE_POINTS = 600
_MOST_ERRORS = 5  # of the decoder's, that are kept


@dataclass(frozen=True)
class Stretch:
    """From `start` to `end`, in seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


@dataclass(frozen=True)
class Sound:
    """The sound of a file. Loudness in LUFS and LU (EBU R128), peak in dBTP; None: silent, or too short to tell.

    `momentary` and `short_term` are (seconds, LUFS), thinned to a few hundred; `speech` is the envelope of the speech
    band, the mean square of each `HOP` seconds from 0 on, and `sides` how much louder the left is then.
    """

    codec: str
    start: float
    end: float
    integrated: float | None
    loudness_range: float
    true_peak: float | None
    momentary: list[tuple[float, float]]
    short_term: list[tuple[float, float]]
    speech: Floats
    sides: Floats
    silent: list[Stretch]


@dataclass(frozen=True)
class Inspected:
    """A file as it was decoded.

    Sizes in pixels as they are shown (after rotation), times in seconds; `is_steady`: a constant frame rate;
    `is_faststart`: the index is before the media (None: not an MP4 or MOV); `colours`: range, matrix, primaries and
    transfer as they are tagged; `errors`: the first that the decoder reported; `sound`: None without a sound stream.
    """

    bytes: int
    is_faststart: bool | None
    width: int
    height: int
    start: float
    end: float
    frames: int
    frames_per_second: float
    is_steady: bool
    codec: str
    pixel_format: str
    colours: tuple[str, str, str, str]
    errors: list[str]
    black: list[Stretch]
    frozen: list[Stretch]
    cuts: list[float]
    sound: Sound | None


@dataclass
class _Watcher:
    """Looks at one frame after another; `rows`: those that count."""

    rows: NDArray[np.bool_]
    black: list[bool] = field(default_factory=list)
    changed: list[float] = field(default_factory=list)
    moved: list[bool] = field(default_factory=list)  # against the frame that has stood since it last moved
    last: Frame | None = None
    standing: Frame | None = None

    def see(self, frame: Frame) -> None:
        seen = frame[self.rows]
        self.black.append(bool((seen <= BLACK).mean() >= BLACK_SHARE))
        self.changed.append(float((apart(seen, self.last) > _CHANGED).mean()) if self.last is not None else 0.0)
        moved = self.standing is not None and bool((apart(seen, self.standing) > MOVED).mean() > MOVED_SHARE)
        self.moved.append(moved)
        if moved or self.standing is None:
            self.standing = seen
        self.last = seen

    def cuts(self) -> list[int]:
        """The frames with which another picture begins."""
        shares = np.pad(np.array(self.changed), _AROUND)
        around = np.lib.stride_tricks.sliding_window_view(shares, 2 * _AROUND + 1).copy()
        middle = around[:, _AROUND].copy()
        around[:, _AROUND] = 0.0
        return [int(place) for place in np.flatnonzero((middle >= _CUT_SHARE) & (middle - around.max(1) >= _CUT_RISE))]


def inspect(
    video: Path, aside: tuple[float, float] | None = None, progress: Callable[[float], None] = lambda _: None
) -> Inspected:
    """Decode a whole file and measure it.

    Args:
        video: any file with a moving picture.
        aside: a band of the height (top and bottom, as shares) that does not count for what is black, frozen or cut:
            captions change there while the picture does not.
        progress: told the share that is done, 0 to 1.

    Raises PermanentError, naming the file, when it is no video that can be read.
    """
    known = probe(video)
    if known.video_codec is None:
        raise PermanentError(f"{video.name} has no picture; a video was wanted")
    graph = [f"[0:v:0]showinfo=checksum=0,{SMALL}[small]"]
    outputs = []
    if known.audio_codec is not None:
        graph += [
            "[0:a:0]asplit=3[a][b][c]",
            "[a]ebur128=peak=true:metadata=1:framelog=quiet,ametadata=print:file=loudness[measured]",
            f"[b]{IN_STEREO}[whole]",
            f"[c]{SPEECH_BAND}[speech]",
        ]
        outputs = ["-map", "[measured]", "-f", "null", "-", "-map", "[whole]", "-f", "s16le", "whole"]
        outputs += ["-map", "[speech]", "-f", "s16le", "speech"]
    outputs += ["-map", "[small]", *AS_FRAMES]
    expected = max(1.0, known.seconds * (known.frames_per_second or 30))
    watcher = _Watcher(counting_rows(aside))
    with work_folder() as folder:
        for file in ("loudness", "whole", "speech"):
            (folder / file).touch()  # they stay empty when the sound stream is
        arguments = [*reading(video, folder), "-filter_complex", ";".join(graph), *outputs]
        with closing(small_frames(arguments, folder)) as frames:
            for number, frame in enumerate(frames):
                watcher.see(frame)
                if number % 15 == 0:
                    progress(min(1.0, number / expected))
        said = (folder / "said").read_text(errors="replace")
        times = _times(said, video)
        if len(times) != len(watcher.black):
            raise PermanentError(f"{video.name} has frames without a time; put it into an MP4 file again")
        sound = _sound(folder, known.audio_codec) if known.audio_codec is not None else None
    steps = np.diff(times)
    step = float(np.median(steps)) if len(steps) else 1 / (known.frames_per_second or 30)
    end = float(times[-1]) + step
    edges = np.append(times, end)
    shape = re.search(r"fmt:(\w+) .*? s:(\d+)x(\d+)", said)
    progress(1.0)
    return Inspected(
        bytes=video.stat().st_size,
        is_faststart=_faststart(video),
        width=int(shape.group(2)) if shape else 0,
        height=int(shape.group(3)) if shape else 0,
        start=float(times[0]),
        end=end,
        frames=len(times),
        frames_per_second=round((len(times) - 1) / float(times[-1] - times[0]), 3) if len(steps) else 0.0,
        is_steady=bool(len(steps) == 0 or np.abs(steps - step).max() <= _STEADY),
        codec=known.video_codec,
        pixel_format=shape.group(1) if shape else "unknown",
        colours=_colours(said),
        errors=re.findall(r"\[(?:error|fatal)\] (.+)", said)[:_MOST_ERRORS],
        black=_stretches(watcher.black, edges),
        frozen=_standing(watcher.moved, edges),
        cuts=[float(times[place]) for place in watcher.cuts()],
        sound=sound,
    )


def counting_rows(aside: tuple[float, float] | None) -> NDArray[np.bool_]:
    """Which rows of a small frame count: all but those of the band `aside`, in shares of the height."""
    middles = (np.arange(SIDE) + 0.5) / SIDE
    return np.asarray((middles < aside[0]) | (middles > aside[1]) if aside else middles >= 0)


def apart(first: Frame, second: Frame) -> Frame:
    """How far each pixel is from the other's."""
    return np.asarray(np.maximum(first, second) - np.minimum(first, second))


def small_frames(arguments: list[str], folder: Path) -> Generator[Frame]:
    """Run ffmpeg and yield the small frames that it writes; what it says goes to the file `said`.

    It ends when the generator is closed.
    """
    command = [binary(), "-hide_banner", "-nostdin", "-nostats", "-y", "-v", "level+info", *arguments]
    with (folder / "said").open("wb") as said:
        process = foreign.start(command, folder=folder, stderr=said)
        try:
            yield from _read(process.stdout)
            process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _read(pipe: IO[bytes] | None) -> Iterator[Frame]:
    size = SIDE * SIDE
    while pipe is not None and len(data := pipe.read(size)) == size:
        yield np.frombuffer(data, np.uint8).reshape(SIDE, SIDE)


def _times(said: str, video: Path) -> Floats:
    """When each decoded frame is shown."""
    base = re.search(r"config in time_base: (\d+)/(\d+)", said)
    ticks = re.findall(r"\bn: *\d+ pts: *(-?\d+)", said)
    if base is None or not ticks:
        errors = re.findall(r"\[(?:error|fatal)\] (.+)", said)
        raise PermanentError(
            f"{video.name} has no frame that can be decoded: {errors[-1] if errors else 'it is empty'}"
        )
    return np.array(ticks, np.float64) * int(base.group(1)) / int(base.group(2))


def _colours(said: str) -> tuple[str, str, str, str]:
    found = re.search(r"color_range:(\S+) color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)", said)
    return (found.group(1), found.group(2), found.group(3), found.group(4)) if found else ("unknown",) * 4


def _stretches(flags: list[bool], edges: Floats) -> list[Stretch]:
    """The times over which the flags are up; flag n lasts from edge n to the next."""
    bounds = np.flatnonzero(np.diff(np.concatenate([[False], np.array(flags, bool), [False]]).astype(np.int8)))
    return [Stretch(float(edges[a]), float(edges[b])) for a, b in zip(bounds[::2], bounds[1::2], strict=True)]


def _standing(moved: list[bool], edges: Floats) -> list[Stretch]:
    """The times over which the picture stands still."""
    bounds = [0, *np.flatnonzero(moved).tolist(), len(moved)]
    found = [Stretch(float(edges[a]), float(edges[b])) for a, b in pairwise(bounds)]
    return [stretch for stretch in found if stretch.seconds >= _LEAST_FROZEN]


def _sound(folder: Path, codec: str) -> Sound:
    measured = (folder / "loudness").read_text()
    times = [float(found) for found in re.findall(r"pts_time:(-?[\d.]+)", measured)]
    # A value stands for the window that ends with its piece of 0.1 s.
    momentary, short_term = (
        [(at + 0.1, value) for at, value in zip(times, _series(measured, name), strict=False)] for name in "MS"
    )
    integrated, ranges, peaks = (_series(measured, name) for name in ("I", "LRA", "true_peak"))
    levels = mean_squares(folder / "whole", 2 * round(RATE * _SILENCE_HOP))
    edges = np.arange(len(levels) + 1, dtype=np.float64) * _SILENCE_HOP
    silent = [found for found in _stretches((levels < _SILENT).tolist(), edges) if found.seconds >= _LEAST_SILENT]
    return Sound(
        codec=codec,
        start=times[0] if times else 0.0,
        end=(folder / "whole").stat().st_size / 4 / RATE,
        integrated=integrated[-1] if integrated and integrated[-1] > LEAST_LOUDNESS else None,
        loudness_range=ranges[-1] if ranges else 0.0,
        true_peak=float(20 * np.log10(peaks[-1])) if peaks and peaks[-1] > 0 else None,
        momentary=_thinned(momentary),
        short_term=_thinned(short_term),
        speech=mean_squares(folder / "speech", round(RATE * HOP)),
        sides=sides(folder / "whole"),
        silent=silent,
    )


def _series(measured: str, name: str) -> list[float]:
    return [float(found) for found in re.findall(rf"lavfi\.r128\.{name}=(-?[\d.]+|-?inf|nan)", measured)]


def _thinned(curve: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most so many points of a curve, with its end; silence is drawn at the gate."""
    every = -(-len(curve) // _CURVE_POINTS) or 1
    kept = [*curve[::every], *curve[-1:]] if len(curve) % every != 1 else curve[::every]
    return [(round(at, 2), round(max(LEAST_LOUDNESS, value), 2)) for at, value in kept if value == value]


def _faststart(video: Path) -> bool | None:
    """Whether an MP4's index (moov) stands before its media (mdat), so that it plays while it is still loading."""
    with video.open("rb") as file:
        end = video.stat().st_size
        at = 0
        while at + 8 <= end:
            file.seek(at)
            header = file.read(16)
            size, kind = int.from_bytes(header[:4], "big"), header[4:8]
            if at == 0 and kind != b"ftyp":
                return None
            if kind in (b"moov", b"mdat"):
                return kind == b"moov"
            if size == 1:
                size = int.from_bytes(header[8:16], "big")
            if size < 8:
                return None
            at += size
    return None
