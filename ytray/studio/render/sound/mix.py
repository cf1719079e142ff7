"""The sound of a timeline: narrations in their places, the clips' own sounds and a music bed, mixed and mastered."""

from __future__ import annotations

import hashlib
import os
import statistics
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic_core import to_json

from ytray.errors import PermanentError
from ytray.studio.render import ffmpeg
from ytray.studio.render.clips import normal_clip
from ytray.studio.render.digests import digest
from ytray.studio.render.probe import probe
from ytray.studio.render.sound.mastering import LOUDNESS, RATE, RAW, Measured, limit, master, measured, measuring
from ytray.studio.render.sound.music import BEDS, bed
from ytray.studio.render.sound.tracks import FADE, Decoded, Track, decode, fade_ends, shaped
from ytray.studio.render.timeline import FRAMES_PER_SECOND, Music, Timeline
from ytray.studio.render.work import work_folder

_SOUNDS = 5  # raised when the sound comes out different from what it was: what is kept is then no longer used
_PER_FRAME = RATE // FRAMES_PER_SECOND  # samples
_MOST_EVENED = 20.0  # dB by which a narration is brought to the others' loudness; more would raise its noise only
_SHORTEST_MUSIC = RATE // 10  # samples
_MUSIC_IN, _MUSIC_OUT = 0.5, 1.5  # seconds in which the music comes and goes; less in a short video
# While somebody speaks the music is about 7 dB softer. It begins to give way before the voice does and comes back over
# more than a second: the short pauses of speech stay far below that.
_AHEAD = 0.2  # seconds
_DUCKING = "threshold=0.03:ratio=2:attack=1000:release=2000:knee=8:detection=rms:link=maximum"
_DECODED, _LEVELLED, _MIXED = 0.6, 0.7, 0.8  # shares of the work that are done then


@dataclass(frozen=True)
class _Heard:
    """A stretch of a file's sound, and where in the video it is heard. Times in samples, `skipped` in seconds."""

    kind: Literal["narration", "clip"]
    scene: int
    file: Path
    start: int
    samples: int
    skipped: float = 0.0
    factor: float = 1.0
    fade_in: int = FADE
    fade_out: int = FADE

    @property
    def told(self) -> str:
        """What it is, for messages: scenes are counted from 1."""
        return f"{self.file.name}, the {self.kind} of scene {self.scene + 1},"


@dataclass(frozen=True)
class _Spoken:
    """Where a narration lies in its track, in samples, and its loudness in LUFS."""

    start: int
    samples: int
    loudness: float


def sound_name(timeline: Timeline) -> str:
    """A file name that stands for all that goes into a timeline's sound.

    Raises PermanentError, naming it, when a file is missing.
    """
    parts = [
        _SOUNDS,
        timeline.frames,
        [_key(heard) for heard in _heard(timeline)],
        _music_key(timeline.music),
    ]
    return f"sound-{hashlib.sha256(to_json(parts)).hexdigest()[:40]}.m4a"


def render_sound(timeline: Timeline, output: Path, progress: Callable[[float], None] = lambda _: None) -> None:
    """Write the whole sound to `output`, a stereo M4A file (AAC) at 48 kHz, exactly as long as the pictures.

    Narrations are brought to one loudness, the music below it; the whole is mastered to -14 LUFS and at most -1 dBTP.

    Args:
        progress: told the share that is done, 0 to 1.

    Raises PermanentError when a narration, a clip or the music cannot be read (it says which), DiskFull,
    RenderFailed.
    """
    with work_folder() as folder:
        _Mix(timeline, folder, progress).write(output)


def _heard(timeline: Timeline) -> list[_Heard]:
    """All that is heard of the scenes. A clip begins as early as its scene's picture fades in."""
    found: list[_Heard] = []
    start, lead = 0, 0
    for place, scene in enumerate(timeline.scenes):
        length, fading = scene.frames * _PER_FRAME, scene.fading_frames * _PER_FRAME
        if scene.narration is not None:
            found.append(_Heard("narration", place, Path(scene.narration), start, length))
        if scene.clip is not None and scene.clip_volume > 0:
            whole = _Heard(
                kind="clip",
                scene=place,
                file=Path(scene.clip),
                start=start - lead,
                samples=lead + length,
                skipped=scene.clip_from,
                factor=scene.clip_volume,
                fade_in=max(FADE, lead),
                fade_out=max(FADE, fading),
            )
            found.append(whole)
        start, lead = start + length, fading
    return found


def _key(heard: _Heard) -> list[object]:
    content = _digest(heard.file, heard.told)
    place = [heard.start, heard.samples, heard.skipped]
    return [heard.kind, content, *place, heard.factor, heard.fade_in, heard.fade_out]


def _music_key(music: Music | None) -> list[object] | None:
    if music is None:
        return None
    source = ["bed", BEDS, music.mood] if music.file is None else ["file", _digest(Path(music.file), _told(music))]
    return [source, music.below_voice, music.ducking]


def _told(music: Music) -> str:
    return f"{Path(music.file or '').name}, the music,"


def _digest(file: Path, told: str) -> str:
    try:
        return digest(file)
    except PermanentError as wrong:
        raise PermanentError(str(wrong).replace(file.name, told, 1)) from wrong


class _Mix:
    """One mix in a folder of its own: two tracks (voices and clips) and the music, then one graph, then the master."""

    def __init__(self, timeline: Timeline, folder: Path, progress: Callable[[float], None]) -> None:
        self._timeline, self._folder, self._progress = timeline, folder, progress
        self._samples = timeline.frames * _PER_FRAME

    def write(self, output: Path) -> None:
        music, bedding = self._timeline.music, list[str]()
        if music is not None:
            bedding = _bedding(self._music_gain(music), self._samples, music.ducking)
        spoken = self._tracks()
        self._level(spoken)
        before = self._mixed(bedding)
        told = self._shares(_MIXED, 1.0)
        master(self._folder / "mix", before, output, samples=self._samples, progress=told)
        self._progress(1.0)

    def _shares(self, begin: float, end: float) -> Callable[[float], None]:
        return lambda share: self._progress(begin + (end - begin) * share)

    def _tracks(self) -> list[_Spoken]:
        """Decode everything, several files at once, and lay it into the tracks `voices` and `clips`, in order."""
        heard = _heard(self._timeline)
        in_all = sum(one.samples for one in heard)
        lock, over = threading.Lock(), threading.Event()
        done = dict.fromkeys(range(len(heard)), 0.0)

        def decoded(number: int) -> Decoded | None:
            one, into = heard[number], self._folder / f"sound{number}"

            def told(share: float) -> None:
                if over.is_set():
                    raise _Over
                with lock:
                    done[number] = share * one.samples
                    self._progress(_DECODED * sum(done.values()) / in_all)

            if one.kind == "clip" and not _has_sound(one):
                return None
            file = normal_clip(one.file, self._folder, one.skipped) if one.kind == "clip" else one.file
            found = decode(file, one.told, into, samples=one.samples, skipped=one.skipped, progress=told)
            if one.kind == "narration" and not found.samples:
                raise PermanentError(f"{one.told} holds no sound")
            told(1.0)
            return found

        voices, clips = (Track(self._folder / name, self._samples) for name in ("voices", "clips"))
        spoken: list[_Spoken] = []
        with voices, clips, ThreadPoolExecutor(os.cpu_count() or 1, "ytray-sound") as pool:
            try:
                for one, found in zip(heard, pool.map(decoded, range(len(heard))), strict=True):
                    if found is None:
                        continue
                    fades = {"fade_in": one.fade_in, "fade_out": one.fade_out}
                    for at, piece in shaped(found, samples=one.samples, factor=one.factor, **fades):
                        (voices if one.kind == "narration" else clips).add(one.start + at, piece)
                    if one.kind == "narration" and found.loudness is not None:
                        spoken.append(_Spoken(one.start, found.samples, found.loudness))
                    found.file.unlink()
            except BaseException:
                # Also an interruption: the other ffmpegs stop at their next report.
                over.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return spoken

    def _level(self, spoken: list[_Spoken]) -> None:
        """Bring the narrations to one loudness, that of the finished video, in the track `voice`."""
        voices, voice = self._folder / "voices", self._folder / "voice"
        if not spoken:
            voices.rename(voice)
            return
        middle = statistics.median(one.loudness for one in spoken)
        with Track(voices, self._samples) as track:
            for one in spoken:
                near = min(max(one.loudness, middle - _MOST_EVENED), middle + _MOST_EVENED)
                track.scale(one.start, one.samples, 10 ** ((LOUDNESS - near) / 20))
        limit(voices, voice, samples=self._samples, progress=self._shares(_DECODED, _LEVELLED))
        voices.unlink()

    def _music_gain(self, music: Music) -> float:
        """Decode a loop of the music to the file `music`. The gain, in dB, that brings it to its level."""
        if music.file is None:
            source, told = self._folder / "bed.wav", "the bed"
            bed(music.mood, source)
        else:
            source, told = Path(music.file), _told(music)
        loop = decode(source, told, self._folder / "music", samples=self._samples)
        if loop.samples < min(_SHORTEST_MUSIC, self._samples):
            raise PermanentError(f"{told} holds less than 0.1 s of sound")
        if music.file is not None and loop.samples < self._samples:
            fade_ends(loop)
        return LOUDNESS - music.below_voice - loop.loudness if loop.loudness is not None else 0.0

    def _mixed(self, music: list[str]) -> Measured:
        """Mix the tracks, and the music by its filters, into the file `mix`."""
        arguments = [*RAW, "-i", "voice", *RAW, "-i", "clips"]
        if music:
            arguments += ["-stream_loop", "-1", *RAW, "-i", "music"]
        joined = "[voices][1][music]amix=inputs=3" if music else "[0][1]amix=inputs=2"
        graph = [*music, f"{joined}:normalize=0:duration=first,{measuring('measures')}[mix]"]
        (self._folder / "graph").write_text(";\n".join(graph))
        arguments += ["-/filter_complex", "graph", "-map", "[mix]", "-f", "f32le"]
        told, seconds = self._shares(_LEVELLED, _MIXED), self._samples / RATE
        ffmpeg.run(arguments, self._folder / "mix", seconds=seconds, folder=self._folder, progress=told)
        return measured(self._folder / "measures")


def _bedding(gain: float, samples: int, ducking: bool) -> list[str]:
    """Filters that make [music] of the endless input 2 and hand the voices of input 0 on as [voices]."""
    seconds = samples / RATE
    comes, goes = min(_MUSIC_IN, seconds / 6), min(_MUSIC_OUT, seconds / 3)
    levelled = f"[2]volume={gain:.3f}dB:precision=float"
    cut = (
        f"atrim=end_sample={samples},"
        f"afade=t=in:d={comes:.4f}:curve=hsin,afade=t=out:st={seconds - goes:.4f}:d={goes:.4f}:curve=hsin[music]"
    )
    if not ducking:
        return ["[0]anull[voices]", f"{levelled},{cut}"]
    return [
        "[0]asplit[voices][near]",
        f"[near]atrim=start={_AHEAD},asetpts=PTS-STARTPTS,apad[key]",
        f"{levelled}[bed]",
        # Cut only afterwards: where its first input ends, sidechaincompress drops all that waits for the second one,
        # more or less of it from run to run.
        f"[bed][key]sidechaincompress={_DUCKING},{cut}",
    ]


def _has_sound(clip: _Heard) -> bool:
    try:
        return probe(clip.file.resolve()).audio_codec is not None
    except PermanentError as wrong:
        raise PermanentError(f"scene {clip.scene + 1}: {wrong}") from wrong


class _Over(Exception):
    """Another file could not be read, or the whole was interrupted."""
