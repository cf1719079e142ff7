"""The rules for clips: their pictures and their sound are those of the file that the user gave, and in time with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ytray.studio.render.probe import probe
from ytray.studio.render.quality.case import FRAME, LIKE, Case, check
from ytray.studio.render.quality.clip_frames import Cells, Frames, counting, finer, of_clip, of_video
from ytray.studio.render.quality.report import Check
from ytray.studio.render.sound.voice import HOP, Floats, Heard, heard, sides_of, speaking, speech_envelope
from ytray.studio.render.timeline import FRAMES_PER_SECOND

_WINDOW = 15  # frames that are compared at once
_NEAR = 1  # frames by which a picture may be early or late: two clocks are rounded
_REACH = 90  # frames to either side in which pictures are looked for that are not where they should be
_MOST_SEARCHED = 200  # windows or frames of a scene: of more, these tell enough
# Mean differences of grey, of 255. Encoding and scaling leave less than 1 as a rule, and most of it at any lag.
_ALIKE = 1.0
_UNLIKE = 10.0
_CLEARLY = 0.5  # of the difference that is left elsewhere: then the pictures are from there
_SLOWLY, _AGAIN = 0.8, 2  # so much of it is left in that many windows of a slow motion
_LEAST, _LESS = 0.6, 0.3  # no motion to tell by where less differs in time, or so little less elsewhere
# A single frame is looked at where it differs so many times the usual, and is no picture of the clip where so many.
_ODD, _ODDLY, _NONE, _MOST_ODDLY = 0.5, 1.6, 6.0, 4.0
_MIRRORED = {"left and right": (slice(None), slice(None, None, -1)), "top and bottom": (slice(None, None, -1),)}
_AT_ONCE = 1000  # frames that are compared in one go
_SOUND_TOLERANCE = FRAME + 2 * HOP  # seconds
# Seconds: each such piece of a clip's sound is looked for by itself, so near that a beat is not taken for the next one.
_PIECE, _WHOLE_WITHIN, _PIECE_WITHIN = 1.0, 1.0, 0.25
# A sound is elsewhere where it is so much more like, or, being nearly the same there, where little of the difference
# that is left in time is left.
_CLEARLY_HEARD, _LEFT, _NOTHING = 0.1, 0.4, 0.004
_EXCHANGED = -0.6  # correlation of what is on the left against the right
_ONE_SIDED = 0.02  # of the level: from so much difference on a sound has sides


@dataclass(frozen=True)
class _Fault:
    """Where in a scene the pictures are wrong, in frames of it, and how: by so many frames, or what is told of it."""

    at: int
    off: float | None = None
    told: str = "are shown that it does not hold there"


def clip_rules(case: Case) -> Iterable[Check]:
    """Judge the clips of a video."""
    places = [place for place in case.places if case.timeline.scenes[place].clip]
    if places:
        yield from _pictures(case, [place for place in places if not case.timeline.scenes[place].effects])
        yield from _sounds(case, [place for place in places if case.timeline.scenes[place].clip_volume])


def _pictures(case: Case, places: list[int]) -> Iterable[Check]:
    name, title, wanted = "clip_pictures", "Clips show what they hold", "to a frame"
    stretches = [_stretch(case, place) for place in places]
    faults = {
        place: fault
        for place, shown in zip(places, of_video(case.video, stretches), strict=True)
        if (fault := _wrong_pictures(case, place, shown)) is not None
    }
    if not faults:
        yield check(name, title, "pass", f"{len(places)} compared", wanted)
    for place, fault in faults.items():
        clip = Path(case.timeline.scenes[place].source).name
        at = f"from {case.starts[place] + fault.at * FRAME:.2f} s on"
        if fault.off is None:
            measured, how = "other pictures", f"{at} pictures of {clip} {fault.told}"
        else:
            measured, side = f"{fault.off:+.0f} frames", "ahead" if fault.off > 0 else "behind"
            how = f"{at} the pictures of {clip} are {abs(fault.off) * FRAME:.2f} s {side}"
        yield check(
            name, title, "fail", measured, wanted, f"{how}; save the clip as MP4 and render the scene again", place
        )


def _stretch(case: Case, place: int) -> tuple[int, int]:
    """The frames of the video, from the first to before the last, in which a scene is seen alone."""
    scene, first = case.timeline.scenes[place], round(case.starts[place] * FRAMES_PER_SECOND)
    return first, first + scene.frames - scene.fading_frames


def _wrong_pictures(case: Case, place: int, shown: Frames) -> _Fault | None:
    scene, size = case.timeline.scenes[place], case.timeline.size
    found = probe(Path(scene.source))
    lead = case.timeline.scenes[place - 1].fading_frames if place else 0
    cells = counting(scene, found, size, case.aside)
    if len(shown) < 2 or not cells.any():
        return None
    begins = scene.clip_from + lead * FRAME
    before = min(_REACH, round(begins * FRAMES_PER_SECOND))
    times = finer(found, before + len(shown) + _REACH)
    held = of_clip(scene, found, size, begins - before * FRAME, before + len(shown) + _REACH, times)
    return _Compared(shown, held, cells, before * times, times).fault() if len(held) else None


@dataclass(frozen=True)
class _Compared:
    """A scene's frames, and the pictures of its clip: `times` as many, and `before` so many that come earlier."""

    shown: Frames
    held: Frames
    cells: Cells
    before: int
    times: int

    def fault(self) -> _Fault | None:
        """What is wrong with the scene's pictures: a stretch of them is from elsewhere or mirrored, or a single one."""
        slowly: list[_Fault] = []
        wrong = [at for at in range(0, len(self.shown), _WINDOW) if self._in_time(at, _WINDOW) > _LEAST]
        for at in wrong[:: max(1, len(wrong) // _MOST_SEARCHED)]:
            left = self._in_time(at, _WINDOW)
            best, off = self._best(at, _WINDOW, range(-self.before, _REACH * self.times + 1))
            if best < _CLEARLY * left and left > _ALIKE:
                return _Fault(at, off / self.times)
            for sides, turned in _MIRRORED.items():
                if self._best(at, _WINDOW, self._near, turned)[0] < _CLEARLY * left:
                    return _Fault(at, told=f"have {sides} exchanged")
            if left > _UNLIKE:
                return _Fault(at)
            if best < _SLOWLY * left and left - best > _LESS:
                slowly.append(_Fault(at, off / self.times))
        return slowly[0] if len(slowly) >= min(_AGAIN, len(wrong)) > 0 else self._odd()

    def _odd(self) -> _Fault | None:
        """A single frame that is none of those near it."""
        apart = self._apart_in_time()
        usual = float(np.median(apart))
        odd = [int(at) for at in np.flatnonzero(apart > max(_ODD, _ODDLY * usual))]
        for at in odd[:: max(1, len(odd) // _MOST_SEARCHED)]:
            best, off = self._best(at, 1, range(-self.before, _REACH * self.times + 1))
            if best < _SLOWLY * apart[at] and apart[at] - best > _LESS:
                return _Fault(at, off / self.times)
            if apart[at] > max(_NONE, _MOST_ODDLY * usual):
                return _Fault(at)
        return None

    @property
    def _near(self) -> range:
        return range(-_NEAR * self.times, _NEAR * self.times + 1)

    def _in_time(self, at: int, frames: int) -> float:
        return self._best(at, frames, self._near)[0]

    def _best(self, at: int, frames: int, lags: range, turned: tuple[slice, ...] = ()) -> tuple[float, int]:
        """The least difference of some frames of the video from the clip, and with which lag it is found."""
        window = self.shown[at : at + frames].astype(np.int16)
        found = [(float("inf"), 0)]
        for lag in lags:
            wanted = (at + np.arange(len(window))) * self.times + self.before + lag
            if wanted[-1] < len(self.held):
                held = self.held[np.maximum(wanted, 0)][(slice(None), *turned)]  # before the first picture it stands
                found.append((float(np.abs(held - window)[:, self.cells].mean()), lag))
        return min(found, key=lambda one: (one[0], abs(one[1])))

    def _apart_in_time(self) -> NDArray[np.float64]:
        """How far each frame is from the one of the clip, a frame earlier or later, that is most like it."""
        least = np.full(len(self.shown), np.inf)
        for first in range(0, len(self.shown), _AT_ONCE):
            piece = self.shown[first : first + _AT_ONCE].astype(np.int16)
            for lag in self._near:
                at = np.arange(first, first + len(piece)) * self.times + self.before + lag
                held = self.held[np.clip(at, 0, len(self.held) - 1)]
                apart = np.abs(held - piece)[:, self.cells].mean(axis=1)
                least[first : first + len(piece)] = np.minimum(least[first : first + len(piece)], apart)
        return least


def _sounds(case: Case, places: list[int]) -> Iterable[Check]:
    name, title = "clip_sounds", "Sound of clips in time with their pictures"
    wanted = f"to {_SOUND_TOLERANCE * 1000:.0f} ms"
    lags = {place: lag for place in places if (lag := _lag(case, place)) is not None}
    exchanged = [place for place in lags if _is_exchanged(case, place, lags[place])]
    faults = {place: lag for place, lag in lags.items() if abs(lag) > _SOUND_TOLERANCE}
    if not faults and not exchanged:
        measured = (
            f"{1000 * min(lags.values()):+.0f} to {1000 * max(lags.values()):+.0f} ms" if lags else "none made out"
        )
        yield check(name, title, "pass", measured, wanted)
    for place in sorted({*faults, *exchanged}):
        clip, lag = Path(case.timeline.scenes[place].source).name, lags[place]
        told = f"the sound of {clip} is {abs(1000 * lag):.0f} ms {'late' if lag > 0 else 'early'}"
        if place not in faults:
            told = f"what is heard of {clip} on the left belongs to the right"
        told += "; save the clip as MP4 and render the scene again"
        yield check(name, title, "fail", f"{1000 * lag:+.0f} ms", wanted, told, place)


def _lag(case: Case, place: int) -> float | None:
    """Seconds by which a clip's own sound is late, or a piece of it that is out of time.

    None where it has none, or cannot be made out under other sound.
    """
    scene, sound = case.timeline.scenes[place], case.file.sound
    if sound is None or probe(Path(scene.source)).audio_codec is None:
        return None
    envelope = speech_envelope(Path(scene.source), *_heard_of(case, place))
    piece = round(_PIECE / HOP)
    firsts = range(0, max(1, len(envelope) - piece + 1), piece)
    parts = [(0, envelope, _WHOLE_WITHIN)]
    parts += [(first, envelope[first : first + piece], _PIECE_WITHIN) for first in firsts]
    found = [
        lag
        for first, part, within in parts
        if (lag := _made_out(part, sound.speech, case.starts[place] + first * HOP, within)) is not None
    ]
    return next((lag for lag in found if abs(lag) > _SOUND_TOLERANCE), found[0] if found else None)


def _heard_of(case: Case, place: int) -> tuple[float, float]:
    """From which second of a scene's clip on its sound is heard alone, and for how long."""
    scene = case.timeline.scenes[place]
    lead = case.timeline.scenes[place - 1].fading_frames * FRAME if place else 0.0
    return scene.clip_from + lead, scene.length - scene.crossfade


def _made_out(envelope: Floats, sound: Floats, at: float, within: float) -> float | None:
    if not speaking(envelope).any():
        return None
    found = heard(envelope, sound, at, (-_SOUND_TOLERANCE, _SOUND_TOLERANCE), within)
    if found is None or found.likeness < LIKE or (abs(found.lag) > _SOUND_TOLERANCE and not _is_clear(found)):
        return None
    return found.lag


def _is_clear(found: Heard) -> bool:
    left, left_in_time = 1 - found.likeness, 1 - found.likeness_in_time
    return left_in_time - left >= _CLEARLY_HEARD or left_in_time * _LEFT > left + _NOTHING


def _is_exchanged(case: Case, place: int, lag: float) -> bool:
    """Whether what a clip has on its left is heard on the right."""
    sound = case.file.sound
    wanted = sides_of(Path(case.timeline.scenes[place].source), *_heard_of(case, place))
    first = max(0, round((case.starts[place] + lag) / HOP))
    shown = sound.sides[first : first + len(wanted)] if sound is not None else wanted
    wanted = wanted[: len(shown)]
    if not len(wanted) or np.abs(wanted).mean() < _ONE_SIDED or not np.abs(shown).any():
        return False
    return float(wanted @ shown / (np.linalg.norm(wanted) * np.linalg.norm(shown))) < _EXCHANGED
