"""Other formats of a finished video: other containers and codecs, sound alone, and files that a platform takes.

Whatever has not to change is copied: an H.264 video becomes an MP4 without being encoded again. What is encoded becomes
BT.709, 8 bits, 4:2:0, upright, with square pixels and even sides. Sound of more than two channels is mixed down to
stereo (sound/channels.py), and of several sounds the one is taken that players take. The source's metadata (a phone
writes where it was) is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ytray.errors import PermanentError
from ytray.studio.platforms import PRESETS, Platform, Preset
from ytray.studio.render import ffmpeg
from ytray.studio.render.frames import decoder, scaled, upright
from ytray.studio.render.probe import Probed, groups, probe, reading
from ytray.studio.render.sound.channels import is_plain, mixed_down
from ytray.studio.render.work import work_folder

CODECS: dict[str, tuple[str, ...]] = {
    "mp4": ("h264", "hevc"),
    "mov": ("h264", "hevc"),
    "webm": ("vp9", "av1"),
    "gif": ("gif",),
    "m4a": (),
    "mp3": (),
}
"""Each format's video codecs, the usual one first."""

_GROUP = 2.0  # seconds between key pictures at most: what the platforms ask for
_PICTURES: dict[str, list[str]] = {
    "h264": "-c:v libx264 -preset veryfast -crf 20 -profile:v high -bf 2".split(),
    "hevc": "-c:v libx265 -preset veryfast -crf 22 -x265-params log-level=error:open-gop=0".split(),
    "vp9": "-c:v libvpx-vp9 -crf 31 -b:v 0 -deadline realtime -cpu-used 6 -row-mt 1 -tile-columns 2".split(),
    "av1": "-c:v libsvtav1 -preset 10 -crf 29".split(),
}
_SOUNDS: dict[str, tuple[str, list[str]]] = {
    "mp4": ("aac", "-c:a aac -b:a 192k".split()),
    "mov": ("aac", "-c:a aac -b:a 192k".split()),
    "webm": ("opus", "-c:a libopus -b:a 128k".split()),
    "m4a": ("aac", "-c:a aac -b:a 192k".split()),
    "mp3": ("mp3", "-c:a libmp3lame -q:a 2".split()),
}
_INDEX_FIRST = ["-movflags", "+faststart"]  # so that playing begins before the whole file is there
# Nothing of the source's metadata, and nothing random of ours: the same input gives the same bytes.
_PLAIN = ["-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact"]

_SAYS_BT709 = ["-bsf:v", "h264_metadata=colour_primaries=1:transfer_characteristics=1:matrix_coefficients=1"]
_GIF_RATE = 12.5  # pictures a second: a GIF counts in hundredths, and 8 of them are even steps
_GIF_ROOM = (480, 640)  # pixels, width and height
_GIF_PALETTE_SHARE = 0.35  # of the work

_SLACK = 0.05  # seconds: sound ends in whole packets, so a file is never exactly as long as was meant
_MOST_CROPPED = 0.06  # of a side: a source that differs more from the platform's shape is shown whole
_RATES = (24, 60)  # pictures a second that all platforms take
_MOST_BITRATE = 20_000_000  # bits a second: more is thrown away by every platform at 1080 × 1920
_LEAST_BITRATE = 100_000  # less shows nothing
_SOUND_BITRATE = 192_000
_KEPT_FREE = 0.95  # of a file's bytes are planned; the rest is for its index and for what the encoder goes over


def export(
    source: Path,
    form: str,
    output: Path,
    progress: Callable[[float], None] = lambda _: None,
    *,
    codec: str | None = None,
    platform: Platform | None = None,
) -> None:
    """Write `source` in another format.

    Args:
        source: any video or sound that `probe` reads.
        form: mp4, mov, webm, gif, or for the sound alone m4a, mp3.
        output: appears only when it is complete.
        progress: told the share that is done, 0 to 1.
        codec: the video codec; None takes the format's usual one, `CODECS[form][0]`.
        platform: makes an MP4 that this platform takes: its size in pixels (a source of another shape is shown whole
            over a blurred copy of itself), H.264 in closed groups of at most 2 s, AAC at 48 kHz, BT.709, the index
            first, and no more bytes than it takes. What fits already is copied.

    Raises PermanentError when the source cannot be read, has no such stream, or is too long or too short for the
    platform, or when format, codec and platform do not go together; RenderFailed.
    """
    chosen = _checked(form, codec, platform)
    found = probe(source)
    if chosen is None and found.audio_codec is None:
        raise PermanentError(f"{source.name} has no sound, so there is no {form} of it")
    if chosen is not None and found.video_codec is None:
        raise PermanentError(f"{source.name} has no pictures, so there is no {form} of it; export it as m4a or mp3")
    with work_folder() as folder:
        job = _Job(source, found, output, folder, progress)
        if platform is not None:
            _for_platform(job, PRESETS[platform])
        elif form == "gif":
            _gif(job)
        elif chosen is None:
            job.run(["-map", found.sound, *_sound(found, form), *(_INDEX_FIRST if form == "m4a" else [])])
        else:
            _video(job, form, chosen)


def _checked(form: str, codec: str | None, platform: str | None) -> str | None:
    """The video codec, None for sound alone. Raises PermanentError for what does not go together."""
    if form not in CODECS:
        raise PermanentError(f"there is no export format {form!r}; there are {', '.join(CODECS)}")
    if codec is not None and codec not in CODECS[form]:
        holds = " and ".join(CODECS[form]) or "no pictures"
        raise PermanentError(f"{form} with {codec} is not made: {form} holds {holds}")
    if platform is not None and platform not in PRESETS:
        raise PermanentError(f"there is no platform {platform!r}; there are {', '.join(PRESETS)}")
    if platform is not None and (form, codec or "h264") != ("mp4", "h264"):
        asked = f"{form} with {codec}" if codec else form
        raise PermanentError(f"{PRESETS[platform].title} is given mp4 with h264, not {asked}")
    return codec or next(iter(CODECS[form]), None)


@dataclass(frozen=True)
class _Job:
    """One export: what is read, what is known of it, and where it goes."""

    source: Path
    found: Probed
    output: Path
    folder: Path
    progress: Callable[[float], None]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture, even."""
        width, height = self.found.width or 2, self.found.height or 2
        return max(2, width // 2 * 2), max(2, height // 2 * 2)

    @property
    def rate(self) -> float:
        """Pictures a second."""
        return self.found.frames_per_second or 30.0

    def inputs(self) -> list[str]:
        """ffmpeg's arguments that read the source."""
        return [*decoder(self.found), *reading(self.source, self.folder)]

    def run(self, arguments: list[str], output: Path | None = None, begins: float = 0.0, share: float = 1.0) -> None:
        """Run ffmpeg on the source; this is `share` of the work, which has come to `begins`."""
        ffmpeg.run(
            [*self.inputs(), *arguments, *_PLAIN],
            (output or self.output).absolute(),
            seconds=self.found.seconds,
            folder=self.folder,
            progress=lambda part: self.progress(begins + share * part),
        )


def _video(job: _Job, form: str, codec: str) -> None:
    if _can_be_copied(job.found, codec):
        picture = ["-c:v", "copy", *_tags(job.found)]
    else:
        picture = ["-vf", upright(job.found, scaled(job.size)), *_PICTURES[codec], "-g", _group(job.rate)]
    if codec == "hevc":
        picture += ["-tag:v", "hvc1"]  # Apple's players know no other name for it
    first = _INDEX_FIRST if form in ("mp4", "mov") else []
    job.run(["-map", job.found.pictures, "-map", f"{job.found.sound}?", *picture, *_sound(job.found, form), *first])


def _sound(found: Probed, form: str) -> list[str]:
    codec, encoder = _SOUNDS[form]
    if found.audio_codec is None:
        return []
    if found.audio_codec == codec and is_plain(found):
        return ["-c:a", "copy"]
    return ["-af", mixed_down(found), *encoder]  # encoders take few of the layouts that there are


def _can_be_copied(found: Probed, codec: str) -> bool:
    return (
        found.video_codec == codec
        and found.pixel_format == "yuv420p"
        and not (found.has_alpha or found.is_hdr or found.is_interlaced)
    )


def _tags(found: Probed) -> list[str]:
    """What makes a copied H.264 stream say in full that it is BT.709, where it says so in part."""
    is_half_said = found.video_codec == "h264" and (found.colours or "").startswith("bt709/")
    return _SAYS_BT709 if is_half_said else []


def _group(rate: float) -> str:
    return str(max(1, int(rate * _GROUP)))


def _gif(job: _Job) -> None:
    """A GIF with a palette of its own. Two runs: one that did both would keep every picture in memory."""
    share = min(1.0, *(room / side for room, side in zip(_GIF_ROOM, job.size, strict=True)))
    width, height = (max(2, round(side * share / 2) * 2) for side in job.size)
    pictures = f"fps={_GIF_RATE},{upright(job.found, scaled((width, height)))}"
    palette = job.folder / "palette.png"
    found = ["-map", job.found.pictures, "-vf", f"{pictures},palettegen", "-frames:v", "1"]
    job.run([*found, "-update", "1"], palette, share=_GIF_PALETTE_SHARE)
    # Errors are handed on to the neighbours: of all ways it leaves the least rings in a sky, for twice the bytes.
    dithered = "paletteuse=dither=sierra2_4a:diff_mode=rectangle"
    drawn = [
        "-i",
        palette.name,
        "-filter_complex",
        f"[{job.found.pictures}]{pictures}[pictures];[pictures][1:v]{dithered}[drawn]",
    ]
    job.run([*drawn, "-map", "[drawn]"], begins=_GIF_PALETTE_SHARE, share=1 - _GIF_PALETTE_SHARE)


def _for_platform(job: _Job, preset: Preset) -> None:
    _check_length(job, preset)
    picture = ["-c:v", "copy", *_tags(job.found)] if _fits(job, preset) else _conformed(job, preset)
    # A file without sound is refused by some: it gets silence.
    silence = [] if job.found.audio_codec else ["-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo"]
    sound = ["-map", "1:a", "-shortest"] if silence else ["-map", job.found.sound]
    if (job.found.audio_codec, job.found.sample_rate) == ("aac", 48_000) and is_plain(job.found):
        sound += ["-c:a", "copy"]
    else:
        mixed = [] if silence else ["-af", mixed_down(job.found)]
        sound += [*mixed, "-c:a", "aac", "-b:a", str(_SOUND_BITRATE), "-ar", "48000"]
    job.run([*silence, "-map", job.found.pictures, *picture, *sound, *_INDEX_FIRST])
    _check_result(job, preset)


def _check_length(job: _Job, preset: Preset) -> None:
    seconds = job.found.seconds
    if seconds > preset.most_seconds + _SLACK:
        raise PermanentError(
            f"{job.source.name} is {seconds - preset.most_seconds:.1f} s too long for {preset.title}: it lasts "
            f"{seconds:.1f} s, and at most {preset.most_seconds:.0f} s are taken; shorten it or choose another platform"
        )
    if seconds < preset.least_seconds - _SLACK:
        raise PermanentError(
            f"{job.source.name} is {preset.least_seconds - seconds:.1f} s too short for {preset.title}: it lasts "
            f"{seconds:.1f} s, and at least {preset.least_seconds:.0f} s are asked for; lengthen it"
        )


def _fits(job: _Job, preset: Preset) -> bool:
    """Whether the source's pictures are already what the platform takes."""
    found = job.found
    return (
        _can_be_copied(found, "h264")
        and (found.width, found.height) == preset.size
        and found.rotation == 0
        and found.has_square_pixels
        and not found.is_variable
        and _has_usual_rate(job)
        and (found.colours or "").startswith("bt709")
        and job.source.stat().st_size <= preset.most_bytes
        and _are_short(job.source)
    )


def _has_usual_rate(job: _Job) -> bool:
    return _RATES[0] - 0.5 < job.rate < _RATES[1] + 0.5


def _are_short(video: Path) -> bool:
    found = groups(video)
    return found.are_closed and found.longest <= _GROUP + _SLACK


def _conformed(job: _Job, preset: Preset) -> list[str]:
    """Pictures encoded for a platform, at a bitrate that its most bytes leave room for."""
    rate, filters = job.rate, upright(job.found, _fitting(job.size, preset.size))
    if job.found.is_variable or not _has_usual_rate(job):
        rate = 30.0 if rate < 45 else 60.0
        filters = f"fps={rate:g},{filters}"
    room = preset.most_bytes * 8 * _KEPT_FREE / max(job.found.seconds, 1.0) - _SOUND_BITRATE
    most = int(min(max(room, _LEAST_BITRATE), _MOST_BITRATE))
    # The encoder keeps to its quality and never goes over the bitrate: no second run is needed.
    capped = ["-maxrate", str(most), "-bufsize", str(most)]
    return ["-vf", filters, *_PICTURES["h264"], *capped, "-g", _group(rate), "-flags", "+cgop"]


def _fitting(source: tuple[int, int], size: tuple[int, int]) -> str:
    """Filters that fill `size`: cropped where little is lost, else whole over a blurred copy of itself."""
    width, height = size
    larger, smaller = ((f":force_original_aspect_ratio={how}:force_divisible_by=2") for how in ("increase", "decrease"))
    shape, wanted = source[0] / source[1], width / height
    if 1 - min(shape, wanted) / max(shape, wanted) <= _MOST_CROPPED:
        return f"{scaled(size, larger)},crop={width}:{height}"
    little = (width // 8 // 2 * 2, height // 8 // 2 * 2)  # a small picture blurs quickly, and looks the same
    blurred = f"{scaled(little, larger)},crop={little[0]}:{little[1]},gblur=sigma=6,eq=brightness=-0.08"
    return (
        f"split[whole][back];[back]{blurred},{scaled(size)},setsar=1[behind];"
        f"[whole]{scaled(size, smaller)},setsar=1[before];[behind][before]overlay=(W-w)/2:(H-h)/2"
    )


def _check_result(job: _Job, preset: Preset) -> None:
    """Raise RenderFailed when the file is not what the platform takes: nothing is handed over unmeasured."""
    made, size = probe(job.output), job.output.stat().st_size
    wrong = [
        fault
        for fault, is_so in (
            (f"{made.width}×{made.height} pixels", (made.width, made.height) != preset.size),
            (f"{size} bytes", size > preset.most_bytes),
            (f"{made.seconds:.1f} s", made.seconds > preset.most_seconds + 2 * _SLACK),
            (f"{made.video_codec} and {made.audio_codec}", (made.video_codec, made.audio_codec) != ("h264", "aac")),
            (f"sound at {made.sample_rate} Hz", made.sample_rate != 48_000),
            (f"sound of {made.channels}", not is_plain(made)),
            (f"colours {made.colours}", made.colours != "bt709"),
            (f"groups of pictures open, or longer than {_GROUP:.0f} s", not _are_short(job.output)),
        )
        if is_so
    ]
    if wrong:
        job.output.unlink(missing_ok=True)
        raise ffmpeg.RenderFailed(f"the export for {preset.title} came out wrong: {', '.join(wrong)}")
