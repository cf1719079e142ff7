"""The quality gate: a finished video file is measured, and judged against its timeline and its platform.

A failure stops a video from being handed out (`demand`); a warning is only reported.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ytray.errors import PermanentError
from ytray.studio.model import Quality
from ytray.studio.platforms import PRESETS
from ytray.studio.render.quality.case import Case, covered_words, longest_line, speed, time_covered, voice_of
from ytray.studio.render.quality.inspect import Stretch, inspect
from ytray.studio.render.quality.report import (
    CaptionFigures,
    Curves,
    Figures,
    PictureFigures,
    QualityReport,
    SoundFigures,
    Span,
    StreamFigures,
)
from ytray.studio.render.quality.rules import RULES
from ytray.studio.render.text.captions import captions_of_timeline
from ytray.studio.render.text.lettering import safe_box
from ytray.studio.render.timeline import Timeline

_CAPTION_BAND = 0.34  # share of the height, above the safe box's bottom, in which captions stand
_CUT_NEAR = 0.3  # seconds around a scene's start in which its cut is looked for
_INSPECTING = 0.9  # share of the time that decoding takes


def examine(
    video: Path,
    timeline: Timeline,
    *,
    arc: list[float] | None = None,
    pacing: list[float] | None = None,
    asked: float | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> QualityReport:
    """Measure a finished video file and judge it against the timeline that it was rendered from.

    Args:
        video: the file; everything is measured by decoding it.
        timeline: what was asked for; its files are local ones.
        arc: valence from -1 to 1, for the report.
        pacing: words a minute by scene, for the report; without it the timeline's word times say.
        asked: seconds that the video was to last.
        progress: told the share that is done, 0 to 1.

    Raises PermanentError, naming the file, when the video or a narration cannot be read at all.
    """
    preset = PRESETS[timeline.platform]
    captions = captions_of_timeline(timeline) if timeline.captions else []
    bottom = safe_box(timeline.size, timeline.platform)[3] / timeline.height
    aside = (bottom - _CAPTION_BAND, bottom) if captions else None
    file = inspect(video, aside, lambda share: progress(_INSPECTING * share))
    voices = []
    for start, scene in zip(timeline.starts(), timeline.scenes, strict=True):
        voices.append(voice_of(scene, start, file.sound))
        progress(_INSPECTING + (1 - _INSPECTING) * len(voices) / len(timeline.scenes))
    cuts = [_nearest(file.cuts, start) if start else None for start in timeline.starts()]
    case = Case(timeline, video, file, preset, aside, captions, cuts, voices, pacing or _paces(timeline), asked)
    checks = [check for rule in RULES for check in rule(case)]
    return QualityReport(
        passed=not any(check.state == "fail" for check in checks),
        checks=checks,
        figures=_figures(case),
        curves=_curves(case, arc),
    )


def demand(report: QualityReport) -> None:
    """Raise PermanentError when a check failed; the message names each with its scene, why, and what to do."""
    failed = report.of("fail")
    if failed:
        said = "; ".join(f"{check.title}: {check.told or check.measured}" for check in failed)
        raise PermanentError(f"the video did not pass the quality gate: {said}")


def summary(report: QualityReport, uri: str, page_uri: str) -> Quality:
    """What a finished video's result says of its report, which lies at `uri`, as a page at `page_uri`."""
    return Quality(
        passed=report.passed,
        warnings=[f"{check.title}: {check.told or check.measured}" for check in report.of("warning")],
        loudness_lufs=report.figures.sound.loudness,
        peak_dbtp=report.figures.sound.true_peak,
        report=uri,
        page=page_uri,
    )


def _nearest(cuts: list[float], start: float) -> float | None:
    near = [cut for cut in cuts if abs(cut - start) <= _CUT_NEAR]
    return min(near, key=lambda cut: abs(cut - start), default=None)


def _paces(timeline: Timeline) -> list[float]:
    """Words a minute of each scene by its word times; 0 where nobody speaks."""
    spoken = [(len(scene.words), scene.words[-1].end if scene.words else 0.0) for scene in timeline.scenes]
    return [round(count / seconds * 60, 1) if seconds > 0 else 0.0 for count, seconds in spoken]


def _figures(case: Case) -> Figures:
    file, sound = case.file, case.file.sound
    colours = dict(
        zip(("colour_range", "colour_matrix", "colour_primaries", "colour_transfer"), file.colours, strict=True)
    )
    return Figures(
        streams=StreamFigures(
            size_bytes=file.bytes,
            picture_seconds=round(file.end - file.start, 3),
            sound_seconds=round(sound.end - sound.start, 3) if sound else None,
            sound_starts_after_picture=round(sound.start - file.start, 3) if sound else None,
            width=file.width,
            height=file.height,
            frames_per_second=file.frames_per_second,
            is_steady=file.is_steady,
            video_codec=file.codec,
            audio_codec=sound.codec if sound else None,
            pixel_format=file.pixel_format,
            is_faststart=file.is_faststart,
            **colours,
        ),
        sound=SoundFigures(
            loudness=sound.integrated if sound else None,
            loudness_range=sound.loudness_range if sound else None,
            true_peak=round(sound.true_peak, 2) if sound and sound.true_peak is not None else None,
            voice_lags=[None if (lag := case.lag(place)) is None else round(lag, 3) for place in case.places],
        ),
        picture=PictureFigures(
            black=_spans(file.black), frozen=_spans(file.frozen), silent=_spans(sound.silent if sound else [])
        ),
        captions=CaptionFigures(
            count=len(case.captions),
            fastest=round(max(map(speed, case.captions)), 2),
            longest_line=max(map(longest_line, case.captions)),
            words_shown=round(covered_words(case), 3),
            time_covered=round(time_covered(case), 3),
        )
        if case.captions
        else None,
        words_per_minute=case.words_per_minute,
    )


def _curves(case: Case, arc: list[float] | None) -> Curves:
    sound = case.file.sound
    return Curves(
        seconds=round(max(case.timeline.seconds, case.file.end), 3),
        momentary=sound.momentary if sound else [],
        short_term=sound.short_term if sound else [],
        cuts=[round(cut, 3) for cut in case.file.cuts],
        scene_starts=[round(start, 3) for start in case.starts],
        captions=[(round(c.start, 3), round(c.end, 3), round(speed(c), 2)) for c in case.captions],
        arc=arc,
        pacing=case.paces if any(case.paces) else None,
    )


def _spans(stretches: list[Stretch]) -> list[Span]:
    return [Span(start=round(found.start, 3), end=round(found.end, 3)) for found in stretches]
