"""What a media file is, as ffmpeg reads it. (imageio-ffmpeg brings no ffprobe.)

A file that a user hands in may be anything, and may claim to be anything. ffmpeg is given a link with a name of our
own, reads files only, and only the formats listed here: never a playlist, a script or a drawing that opens other files.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from ytray.errors import PermanentError
from ytray.studio import foreign
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.files import check_file
from ytray.studio.render.work import work_folder

MOST_SIDE = 16_384  # pixels: what H.264 and the scaler go up to
MOST_PIXELS = 100_000_000  # in one picture; each takes 3 to 12 bytes while it is worked on
_TIMEOUT = 60  # seconds
_LOOKED_AT = 240  # pictures whose times tell whether the frame rate varies
_LISTED_SECONDS = 30.0
_OUT_OF_ORDER = 16  # pictures that may come later in the file than those shown after them: what H.264 allows
_ENDING = 1.0  # seconds before the end that must be there

_PROMISE_NOTHING = ("mpegts", "mpeg")  # their length is read off their own end

_VIDEOS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,nut,dv,ivf,yuv4mpegpipe,gif,apng"
_SOUNDS = "wav,w64,mp3,aac,flac,aiff,caf,amr,ac3,eac3,au,ape,wv,tta"
_PICTURES = "png_pipe,jpeg_pipe,bmp_pipe,webp_pipe,webp_anim,tiff_pipe,ppm_pipe,pgm_pipe"
_SAFE = ["-protocol_whitelist", "file", "-format_whitelist", f"{_VIDEOS},{_SOUNDS},{_PICTURES}"]

_REASONS = (
    (
        "moov atom not found",
        "its index (moov) is missing: it was cut off while it was written or sent, or is no video; send it again",
    ),
    ("Format not on whitelist", "it is a playlist, a script or a format that is not read; give the video itself"),
    ("Invalid data found", "it holds no video or sound that is known; give an MP4, a WebM, an MP3 or a WAV"),
)
_ENCRYPTED = ("encv", "enca", "drms", "drmi", "p608")  # as MP4 calls what is inside
_SIZE = re.compile(r", (\d+)x(\d+)(?:,? \[?SAR (\d+):(\d+))?")
_MOST_CHANNELS = 64  # what ffmpeg's filters go up to
# ffmpeg's own encoder of Opus writes two layouts in another order than their headers say (9.0 still does).
_MISWRITTEN = {"5.0": "5 channels (FL+FR+BL+BR+FC)", "6.1": "7 channels (FL+FR+SL+LFE+FC+BC+SR)"}
_USUAL = ("mono", "stereo", "5.1", "5.1(side)", "7.1")
_STILL = ", 1 fps, 1 tbr, 1 tbn"
_ALPHA = re.compile(r"yuva|rgba|bgra|argb|abgr|gbrap|ya\d|pal8")


@dataclass(frozen=True)
class Probed:
    """Length in seconds, size in pixels, and the codecs; None where the file has no such stream.

    Width and height are those of the upright picture with square pixels: what a player shows.

    Args:
        rotation: degrees clockwise by which a player turns the stored picture: 0, 90, 180 or 270 as a rule.
        is_variable: the pictures follow each other at unequal distances.
        is_hdr: the picture's light is coded as PQ or HLG, and must be mapped before it is shown as BT.709.
        pixel_format: as ffmpeg names it.
        colours: the colour space as ffmpeg names it: `bt709`, or matrix/primaries/transfer; None when unsaid.
        starts: the second at which the file's clock starts.
        sample_rate: of the sound, in Hz.
        track: which of several sounds counts, from 0: the default one, as players take it, else the first.
        video: which of several videos counts, from 0, cover pictures left out.
        container: ffmpeg's first name of the container: `mov`, `matroska`, `mpegts`; `avis` for a sequence of AVIF.
        pictures_from: seconds after the file's start at which its first picture is shown.
        channels: of the sound, as ffmpeg names them: `stereo`, `5.1(side)`, `ambisonic 1`, `9 channels`.
    """

    seconds: float
    width: int | None
    height: int | None
    frames_per_second: float | None
    video_codec: str | None
    audio_codec: str | None
    rotation: int = 0
    is_variable: bool = False
    has_alpha: bool = False
    is_hdr: bool = False
    pixel_format: str | None = None
    colours: str | None = None
    is_interlaced: bool = False
    has_square_pixels: bool = True
    starts: float = 0.0
    sample_rate: int | None = None
    track: int = 0
    video: int = 0
    channels: str | None = None
    container: str = ""
    pictures_from: float = 0.0

    @property
    def sound(self) -> str:
        """ffmpeg's name of the sound that counts, in the first input."""
        return f"0:a:{self.track}"

    @property
    def pictures(self) -> str:
        """ffmpeg's name of the video that counts, in the first input; V: one that is no cover picture."""
        return f"0:V:{self.video}"


@dataclass(frozen=True)
class Groups:
    """How a video's groups of pictures are built: the longest in seconds, and whether none needs the one before it."""

    longest: float
    are_closed: bool


def reading(source: Path, folder: Path, name: str = "input") -> list[str]:
    """Arguments with which ffmpeg, running in `folder`, reads `source` as a plain file, whatever it is called or holds.

    They stand where `-i` stands. A link called `name` is put into the folder.
    """
    link = folder / name
    link.unlink(missing_ok=True)
    link.symlink_to(source.resolve())
    return [*_SAFE, "-max_pixels", str(MOST_PIXELS), "-i", name]


def probe(path: Path) -> Probed:
    """Read what a video or a sound is, from its headers, its first pictures and its end.

    Raises PermanentError, naming the file: it is missing, a folder, empty, cut off, a still, a text, a playlist, larger
    than 16,384 pixels a side or 100 megapixels, or no media file at all.
    """
    check_file(path, "readable media file")
    found = path.stat()
    return _probed(path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=256)  # a clip is asked about again and again while its film is made and checked
def _probed(path: Path, _content: tuple[int, ...]) -> Probed:
    with work_folder() as folder:
        source = reading(path, folder)
        said = _ffmpeg(path, source, folder)[1]
        found = _headers(path, said)
        copied = ["-map", f"{found.pictures}?", "-map", f"{found.sound}?", "-c", "copy"]
        until = ["-t", f"{max(0.0, found.starts) + _LISTED_SECONDS:.3f}"]  # on the file's own clock
        first, said = _ffmpeg(path, [*source, *copied, "-frames:v", str(_LOOKED_AT), *until, *_LISTED], folder)
        if "partial file" in said:
            raise PermanentError(f"{path.name} is cut off: there is less of it than its headers promise; send it again")
        pictures = _packets(first).get("video", [])
        if found.video_codec is not None and not pictures:
            raise PermanentError(f"{path.name} holds no pictures: its video stream is empty")
        if found.seconds > _ENDING and found.container not in _PROMISE_NOTHING:
            _check_end(path, [*source, *copied], folder, found)
        seconds = found.seconds or _measured(path, [*source, *copied], folder)
    if seconds <= 0:
        raise PermanentError(f"{path.name} is empty: its length is 0 seconds")
    begins = min((packet.shown for packet in pictures), default=found.starts) - found.starts
    return replace(found, seconds=seconds, is_variable=_varies(pictures), pictures_from=max(0.0, begins))


def headers(path: Path) -> Probed:
    """What a file's headers say, unchecked: its length may be 0. Raises PermanentError as `probe` does for no media."""
    check_file(path, "readable media file")
    with work_folder() as folder:
        return _headers(path, _ffmpeg(path, reading(path, folder), folder)[1])


def lands(path: Path, found: Probed, at: float) -> bool:
    """Whether a seek to `at` seconds after the file's start comes to a key picture there or before."""
    with work_folder() as folder:
        one = ["-ss", f"{at:.4f}", *reading(path, folder), "-map", found.pictures, "-c", "copy", "-frames:v", "1"]
        pictures = _packets(_ffmpeg(path, [*one, *_LISTED], folder)[0]).get("video", [])
    return bool(pictures) and pictures[0].is_key and pictures[0].shown <= found.starts + max(at, found.pictures_from)


def picture_times(path: Path) -> list[float]:
    """When each picture of a video is shown, in seconds after the file's start and in order; the file is read once.

    Raises PermanentError when the file cannot be read.
    """
    found = headers(path)
    with work_folder() as folder:
        listed, _ = _ffmpeg(path, [*reading(path, folder), "-map", found.pictures, "-c", "copy", *_LISTED], folder)
    return sorted(packet.shown - found.starts for packet in _packets(listed).get("video", []))


def groups(path: Path) -> Groups:
    """Measure a video's groups of pictures, all of them; the file is read once and nothing is decoded.

    A group is open when a picture that comes after its key picture in the file is shown before it: that one is built
    from the group before.
    """
    check_file(path, "readable media file")
    with work_folder() as folder:
        listed, _ = _ffmpeg(path, [*reading(path, folder), "-map", "0:V:0", "-c", "copy", *_LISTED], folder)
    packets = _packets(listed).get("video", [])
    keys = [packet.shown for packet in packets if packet.is_key]
    if not keys:
        return Groups(longest=float("inf"), are_closed=False)
    closed, key = True, keys[0]
    for packet in packets:
        if packet.is_key:
            key = packet.shown
        closed = closed and packet.shown >= key
    ends = [*keys[1:], max(packet.shown + packet.lasts for packet in packets)]
    return Groups(longest=max(end - start for start, end in zip(keys, ends, strict=True)), are_closed=closed)


_LISTED = ["-f", "framecrc", "-"]  # a line for each packet: the only listing that ffmpeg itself can write


@dataclass(frozen=True)
class _Packet:
    """A coded picture or piece of sound: when it is shown and for how long, in seconds; `tick` is its clock's step."""

    shown: float
    lasts: float
    tick: float
    is_key: bool


def _ffmpeg(path: Path, arguments: list[str], folder: Path) -> tuple[str, str]:
    """What ffmpeg writes and what it says; a failure shows in what it says."""
    try:
        done = foreign.run(
            [binary(), "-hide_banner", "-nostdin", "-copyts", *arguments], folder=folder, timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired as expired:
        raise PermanentError(f"{path.name} could not be read within {_TIMEOUT} s") from expired
    return foreign.text(done.stdout), foreign.text(done.stderr)


def _headers(path: Path, said: str) -> Probed:
    length = re.search(r"^  Duration: (?:(\d+):(\d+):([\d.]+)|N/A)(?:, start: (-?[\d.]+))?", said, re.MULTILINE)
    form = re.search(r"^Input #0, (\S+), from", said, re.MULTILINE)
    streams = re.split(r"^  Stream #0:", said, flags=re.MULTILINE)[1:]
    videos = [each for each in streams if ": Video: " in _line(each) and "(attached pic)" not in _line(each)]
    is_sequence = re.search(r"^ +major_brand +: avis", said, re.MULTILINE) is not None
    # A sequence of AVIF holds its first picture also as a still, before the video.
    video = next((place for place, each in enumerate(videos) if not (is_sequence and _STILL in _line(each))), 0)
    picture = videos[video] if videos else None
    sounds = [each for each in streams if ": Audio: " in _line(each)]
    track = next((place for place, each in enumerate(sounds) if "(default)" in _line(each)), 0)
    sound = sounds[track] if sounds else None
    if length is None or form is None or (picture is None and sound is None):
        raise PermanentError(f"{path.name} is not a readable media file: {_reason(said)}")
    for stream in filter(None, (picture, sound)):
        _check_can_be_decoded(path, _line(stream))
    if form.group(1).endswith("_pipe"):
        raise PermanentError(f"{path.name} is not a readable media file: it is a still picture, not a video")
    hours, minutes, seconds, starts = length.groups()
    heard = re.search(r", (\d+) Hz(?:, ([^,]+))?", _line(sound)) if sound else None
    is_known = hours is not None and "Estimating duration" not in said
    found = Probed(
        seconds=int(hours) * 3600 + int(minutes) * 60 + float(seconds) if is_known else 0.0,
        width=None,
        height=None,
        frames_per_second=None,
        video_codec=None,
        audio_codec=_codec(_line(sound)) if sound else None,
        starts=float(starts or 0),
        sample_rate=int(heard.group(1)) if heard else None,
        track=track,
        video=video,
        container="avis" if is_sequence else form.group(1).partition(",")[0],
        channels=_channels(path, heard.group(2), sound, said) if heard and sound else None,
    )
    return found if picture is None else _with_picture(path, found, picture)


def _check_can_be_decoded(path: Path, line: str) -> None:
    found = re.search(r"\((\S+) / 0x", line)
    tag = found.group(1) if found else "unknown"
    if tag in _ENCRYPTED:
        raise PermanentError(f"{path.name} is encrypted (DRM); give a file without protection")
    if _codec(line) == "none":
        raise PermanentError(f"{path.name} is in a format that is not read ({tag}); save it as MP4 with H.264 and AAC")


def _with_picture(path: Path, found: Probed, stream: str) -> Probed:
    """With what the lines about its video stream say."""
    line = _line(stream)
    size = _SIZE.search(line)
    if size is None:
        raise PermanentError(
            f"{path.name} is not a readable media file: its pictures cannot be decoded, or are larger than "
            f"{MOST_PIXELS // 1_000_000} megapixels"
        )
    width, height = int(size.group(1)), int(size.group(2))
    if max(width, height) > MOST_SIDE or width * height > MOST_PIXELS:
        raise PermanentError(
            f"{path.name} is too large: {width}×{height} pixels; at most {MOST_SIDE} a side and "
            f"{MOST_PIXELS // 1_000_000} megapixels are taken"
        )
    across, down = (int(part or 1) or 1 for part in size.groups()[2:])
    turned = re.search(r"^ +Display Matrix: rotation of (-?[\d.]+) degrees", stream, re.MULTILINE)
    rotation = -round(float(turned.group(1))) % 360 if turned else 0
    shown = (max(1, round(width * across / down)), height)
    if rotation in (90, 270):
        shown = shown[1], shown[0]
    pixels = re.search(r", (\w+)(?:\(([^)]*)\))?, \d+x\d+", line)
    said = pixels.group(2).split(", ") if pixels and pixels.group(2) else []
    colours = next((each for each in said if each.startswith(("bt", "smpte", "gbr", "unknown", "fcc"))), None)
    kind = pixels.group(1) if pixels else None
    rate = re.search(r"([\d.]+)(k?) (?:fps|tbr)", line)
    return replace(
        found,
        width=shown[0],
        height=shown[1],
        frames_per_second=float(rate.group(1)) * (1000 if rate.group(2) else 1) if rate else None,
        video_codec=_codec(line),
        rotation=rotation,
        has_alpha=bool(kind and _ALPHA.match(kind)) or bool(re.search(r"^ +alpha_mode +: 1", stream, re.MULTILINE)),
        is_hdr=bool(colours and ("smpte2084" in colours or "arib-std-b67" in colours)),
        pixel_format=kind,
        colours=colours,
        is_interlaced=any("first" in each for each in said),
        has_square_pixels=across == down,
    )


def _channels(path: Path, told: str | None, stream: str, said: str) -> str | None:
    """What the channels are. Nothing says so where ffmpeg guessed: six and eight are then surround by convention.

    Other numbers are the tracks of a recorder: its 24 are not the loudspeakers of a 22.2 cinema.
    """
    named = told or ""
    if f"Guessed Channel Layout: {named}" in said and named not in _USUAL:
        count = 16 if named == "hexadecagonal" else sum(map(int, re.findall(r"\d+", named.partition("(")[0])))
        named = f"{count} channels"
    if named in _MISWRITTEN and re.search(r"^ +encoder +: Lavc\S* libopus", stream, re.MULTILINE | re.IGNORECASE):
        named = _MISWRITTEN[named]
    counted = re.match(r"(\d+) channels", named)
    if counted and int(counted.group(1)) > _MOST_CHANNELS:
        raise PermanentError(
            f"{path.name} has {counted.group(1)} channels of sound, and at most {_MOST_CHANNELS} are mixed down; "
            "export it in stereo"
        )
    return named or None


def _line(stream: str) -> str:
    return stream.partition("\n")[0]


def _codec(line: str) -> str | None:
    found = re.search(r": (?:Video|Audio): (\w+)", line)
    return found.group(1) if found else None


def _reason(said: str) -> str:
    for phrase, reason in _REASONS:
        if phrase in said:
            return reason
    return "it is damaged or cut off; save or send it again"


def _packets(listed: str) -> dict[str, list[_Packet]]:
    """The packets of ffmpeg's listing, those of the video and those of the sound."""
    kinds = dict(re.findall(r"^#media_type (\d+): (\w+)", listed, re.MULTILINE))
    ticks = {
        stream: int(above) / int(below)
        for stream, above, below in re.findall(r"^#tb (\d+): (\d+)/(\d+)", listed, re.MULTILINE)
    }
    found: dict[str, list[_Packet]] = {}
    for stream, shown, lasts, rest in re.findall(
        r"^(\d+), +-?\d+, +(-?\d+), +(\d+), +\d+, \w+(.*)$", listed, re.MULTILINE
    ):
        tick = ticks[stream]
        is_key = "F=0x" not in rest or int(rest.partition("F=0x")[2].partition(",")[0], 16) & 1 == 1
        found.setdefault(kinds[stream], []).append(_Packet(int(shown) * tick, int(lasts) * tick, tick, is_key))
    return found


def _varies(pictures: list[_Packet]) -> bool:
    """Whether distances differ by more than the rounding of a coarse clock: Matroska counts ms, GIF 10 ms."""
    times = sorted(packet.shown for packet in pictures)
    if len(times) > 2 * _OUT_OF_ORDER:
        times = times[:-_OUT_OF_ORDER]  # where the list was cut, some pictures between the last ones are not in it
    distances = sorted(later - earlier for earlier, later in pairwise(times))
    return bool(distances) and distances[-1] - distances[0] > max(1.5 * pictures[0].tick, 0.05 * distances[0])


def _measured(path: Path, source: list[str], folder: Path) -> float:
    """The length of a file whose headers do not say it."""
    return _end(_ffmpeg(path, [*source, *_LISTED], folder)[0], from_first=True)


def _check_end(path: Path, source: list[str], folder: Path, found: Probed) -> None:
    """Raise PermanentError when a file ends long before the length that its headers promise."""
    listed, _ = _ffmpeg(path, ["-sseof", f"-{_ENDING}", *source, *_LISTED], folder)
    promised = found.starts + found.seconds
    end = _end(listed, from_first=False)
    if end < promised - max(1.0, 0.1 * found.seconds) or not _packets(listed):
        raise PermanentError(
            f"{path.name} is cut off: it promises {found.seconds:.1f} s, and what is there ends before; send it again"
        )


def _end(listed: str, from_first: bool) -> float:
    packets = [packet for stream in _packets(listed).values() for packet in stream]
    if not packets:
        return 0.0
    first = min(packet.shown for packet in packets) if from_first else 0.0
    return max(packet.shown + packet.lasts for packet in packets) - first
