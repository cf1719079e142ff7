"""The report of the quality gate: checks, figures and curves, as JSON."""

from __future__ import annotations

from typing import Literal

from ytray.studio.model import Model, Result

State = Literal["pass", "warning", "fail"]


class Check(Model):
    """One rule's outcome. `told`: which scene, why, and what to do. `scene` counts from 1; None: the whole video."""

    name: str
    title: str
    state: State
    measured: str
    wanted: str
    told: str | None = None
    scene: int | None = None


class StreamFigures(Model):
    """The file and its streams. Lengths in seconds, sizes in pixels; None where there is no sound, or no MP4."""

    size_bytes: int
    picture_seconds: float
    sound_seconds: float | None
    sound_starts_after_picture: float | None
    width: int
    height: int
    frames_per_second: float
    is_steady: bool
    video_codec: str
    audio_codec: str | None
    pixel_format: str
    colour_range: str
    colour_matrix: str
    colour_primaries: str
    colour_transfer: str
    is_faststart: bool | None


class SoundFigures(Model):
    """Loudness by EBU R128 (LUFS, LU), true peak (dBTP), and the lag of each scene's voice against its picture.

    `voice_lags`: seconds, negative where the voice is early; None where a scene has none or it could not be made out.
    """

    loudness: float | None
    loudness_range: float | None
    true_peak: float | None
    voice_lags: list[float | None]


class Span(Model):
    """From `start` to `end`, in seconds."""

    start: float
    end: float


class PictureFigures(Model):
    """Stretches of the file that are black, stand still or are silent, whether asked for or not."""

    black: list[Span]
    frozen: list[Span]
    silent: list[Span]


class CaptionFigures(Model):
    """The captions: speed in characters a second, longest line in characters, shares of the speech that they show."""

    count: int
    fastest: float
    longest_line: int
    words_shown: float
    time_covered: float


class Figures(Model):
    """Everything that was measured, in numbers."""

    streams: StreamFigures
    sound: SoundFigures
    picture: PictureFigures
    captions: CaptionFigures | None
    words_per_minute: float | None


class Curves(Model):
    """What a report plots over the time of the video. Times in seconds.

    `momentary` and `short_term` are (time, LUFS); `captions` (start, end, characters a second); `arc` valence from -1
    to 1, evenly over the video; `pacing` words a minute by scene.
    """

    seconds: float
    momentary: list[tuple[float, float]]
    short_term: list[tuple[float, float]]
    cuts: list[float]
    scene_starts: list[float]
    captions: list[tuple[float, float, float]]
    arc: list[float] | None
    pacing: list[float] | None


class QualityReport(Result):
    """The outcome for one file; `passed`: no check failed."""

    passed: bool
    checks: list[Check]
    figures: Figures
    curves: Curves

    def of(self, state: State) -> list[Check]:
        """The checks that ended so."""
        return [check for check in self.checks if check.state == state]
