"""The rules for clips: their pictures and their sound are those of the file that the user gave, and in time with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ytray.studio.render.probe import probe
from ytray.studio.render.quality.case import FRAME, LIKE, Case, check
from ytray.studio.render.quality.clip_frames import Frames, Region, of_clip, of_video
from ytray.studio.render.quality.report import Check
from ytray.studio.render.sound.voice import HOP, heard, speaking, speech_envelope
from ytray.studio.render.timeline import FRAMES_PER_SECOND

_WINDOW = 15  # frames that are compared at once
_NEAR = 1  # frames by which a picture may be early or late: two clocks are rounded
_REACH = 90  # frames to either side in which pictures are looked for that are not where they should be
_MOST_SEARCHED = 200  # windows of a scene: of more, these tell enough
# Mean differences of grey, of 255. Encoding and scaling leave less than 1 as a rule.
_ALIKE = 1.0
_UNLIKE = 30.0
_CLEARLY = 0.5  # of the difference that is left elsewhere: then the pictures are from there
_SOUND_TOLERANCE = FRAME + 2 * HOP  # seconds
_SURE, _CLEARLY_HEARD = 0.9, 0.1  # likeness that needs no comparison, and by how much a lesser one must be better


@dataclass(frozen=True)
class _Fault:
    """Where in a scene the pictures are wrong, in frames of it, and by how many; None: they are from elsewhere."""

    at: int
    off: int | None


def clip_rules(case: Case) -> Iterable[Check]:
    """Judge the clips of a video."""
    places = [place for place in case.places if case.timeline.scenes[place].clip]
    if places:
        yield from _pictures(case, [place for place in places if not case.timeline.scenes[place].effects])
        yield from _sounds(case, [place for place in places if case.timeline.scenes[place].clip_volume])


def _pictures(case: Case, places: list[int]) -> Iterable[Check]:
    name, title, wanted = "clip_pictures", "Clips show what they hold", "to a frame"
    faults = {place: fault for place in places if (fault := _wrong_pictures(case, place)) is not None}
    if not faults:
        yield check(name, title, "pass", f"{len(places)} compared", wanted)
    for place, fault in faults.items():
        clip = Path(case.timeline.scenes[place].source).name
        at = case.starts[place] + fault.at * FRAME
        if fault.off is None:
            measured, how = "other pictures", f"pictures are shown from {at:.2f} s on that {clip} does not hold there"
        else:
            measured = f"{fault.off:+d} frames"
            how = f"from {at:.2f} s on the pictures of {clip} are {abs(fault.off) * FRAME:.2f} s "
            how += "ahead" if fault.off > 0 else "behind"
        yield check(
            name, title, "fail", measured, wanted, f"{how}; save the clip as MP4 and render the scene again", place
        )


def _wrong_pictures(case: Case, place: int) -> _Fault | None:
    scene, size = case.timeline.scenes[place], case.timeline.size
    lead = case.timeline.scenes[place - 1].fading_frames if place else 0
    frames = scene.frames - scene.fading_frames
    region = Region.of(scene, probe(Path(scene.source)), size, case.aside)
    if frames < 2 or not region.cells.any():
        return None
    shown = of_video(case.video, region, round(case.starts[place] * FRAMES_PER_SECOND), frames)
    begins = scene.clip_from + lead * FRAME
    before = min(_REACH, round(begins * FRAMES_PER_SECOND))
    held = of_clip(scene, region, size, begins - before * FRAME, before + frames + _REACH)
    if not len(shown) or not len(held):
        return None  # other rules say so
    wrong = [
        at
        for at in range(0, len(shown), _WINDOW)
        if _apart(shown, held, at, before, range(-_NEAR, _NEAR + 1))[0] > _ALIKE
    ]
    for at in wrong[:: max(1, len(wrong) // _MOST_SEARCHED)]:
        near, _ = _apart(shown, held, at, before, range(-_NEAR, _NEAR + 1))
        best, off = _apart(shown, held, at, before, range(-before, _REACH + 1))
        if best < _CLEARLY * near:
            return _Fault(at, off)
        if near > _UNLIKE:
            return _Fault(at, None)
    return None


def _apart(shown: Frames, held: Frames, at: int, before: int, lags: range) -> tuple[float, int]:
    """The least difference of a window of the video from the clip, and with which lag in frames it is found."""
    window = shown[at : at + _WINDOW]
    found = [(float("inf"), 0)]
    for lag in lags:
        first = at + before + lag
        if first >= 0 and first + len(window) <= len(held):
            found.append((float(np.abs(held[first : first + len(window)] - window).mean()), lag))
    return min(found, key=lambda one: (one[0], abs(one[1])))


def _sounds(case: Case, places: list[int]) -> Iterable[Check]:
    name, title = "clip_sounds", "Sound of clips in time with their pictures"
    wanted = f"to {_SOUND_TOLERANCE * 1000:.0f} ms"
    lags = {place: lag for place in places if (lag := _lag(case, place)) is not None}
    faults = {place: lag for place, lag in lags.items() if abs(lag) > _SOUND_TOLERANCE}
    if not faults:
        measured = (
            f"{1000 * min(lags.values()):+.0f} to {1000 * max(lags.values()):+.0f} ms" if lags else "none made out"
        )
        yield check(name, title, "pass", measured, wanted)
    for place, lag in faults.items():
        clip = Path(case.timeline.scenes[place].source).name
        told = f"the sound of {clip} is {abs(1000 * lag):.0f} ms {'late' if lag > 0 else 'early'}"
        told += "; save the clip as MP4 and render the scene again"
        yield check(name, title, "fail", f"{1000 * lag:+.0f} ms", wanted, told, place)


def _lag(case: Case, place: int) -> float | None:
    """Seconds by which a clip's own sound is late; None where it has none, or cannot be made out under other sound."""
    scene, sound = case.timeline.scenes[place], case.file.sound
    if sound is None or probe(Path(scene.source)).audio_codec is None:
        return None
    lead = case.timeline.scenes[place - 1].fading_frames * FRAME if place else 0.0
    envelope = speech_envelope(Path(scene.source), scene.clip_from + lead, scene.length - scene.crossfade)
    if not speaking(envelope).any():
        return None
    found = heard(envelope, sound.speech, case.starts[place], (-_SOUND_TOLERANCE, _SOUND_TOLERANCE))
    if found is None or found.likeness < LIKE:
        return None
    is_clear = found.likeness > _SURE or found.likeness - found.likeness_in_time >= _CLEARLY_HEARD
    if abs(found.lag) > _SOUND_TOLERANCE and not is_clear:
        return None
    return found.lag
