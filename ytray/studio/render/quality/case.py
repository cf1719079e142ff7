"""The case that the quality gate judges: a timeline, the file that was measured, and what they give together."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ytray.studio.platforms import Preset
from ytray.studio.render.probe import probe
from ytray.studio.render.quality.inspect import Inspected, Sound, Stretch
from ytray.studio.render.quality.report import Check, State
from ytray.studio.render.sound.voice import HOP, Heard, heard, speaking, speech_envelope
from ytray.studio.render.text.captions import Caption
from ytray.studio.render.timeline import FRAMES_PER_SECOND, Timeline, TimelineScene

# ITU-R BT.1359-1: viewers notice sound that is more than 45 ms early or 125 ms late. (EBU R 37 allows a whole chain of
# broadcasting 40 and 60.)
EARLIEST, LATEST = -0.045, 0.125  # seconds of the sound against the picture
FRAME = 1 / FRAMES_PER_SECOND
SILENCE = 2.0  # seconds
_LEAST_PIECE = 1.5 * FRAME
LIKE = 0.5  # correlation from which on a narration counts as found
_UNHEARD = 0.5  # share of a narration that may be silent where it is too short for a silence of that length
_CLEARLY = 0.1  # by so much better than in time must it match elsewhere to count as shifted


@dataclass(frozen=True)
class Voice:
    """A scene's narration, and how it is found in the file.

    Args:
        found: where; None without sound, or when the narration itself is silent.
        spoken: seconds of speech in it.
        unheard: seconds of that in which the file is silent.
        unheard_from: the first second of these.
        cut_off: seconds of speech that come after the scene's end.
    """

    found: Heard | None
    spoken: float
    unheard: float
    unheard_from: float
    cut_off: float

    @property
    def is_unheard(self) -> bool:
        """Whether so much of it is missing that a viewer takes it for a fault."""
        return self.unheard > min(SILENCE, _UNHEARD * self.spoken)


@dataclass(frozen=True)
class Case:
    """What is judged: the timeline, the measured file, and what they give together.

    Args:
        video: the file itself.
        aside: the band of the height that captions stand in, and that the pictures were not judged by.
        cuts: for each scene the second of the cut that was seen near its start.
        voices: for each scene its narration.
        paces: words a minute of each scene; 0 where nobody speaks.
        asked: seconds that the video was to last, if anybody said.
    """

    timeline: Timeline
    video: Path
    file: Inspected
    preset: Preset
    aside: tuple[float, float] | None
    captions: list[Caption]
    cuts: list[float | None]
    voices: list[Voice | None]
    paces: list[float]
    asked: float | None = None

    @property
    def places(self) -> range:
        """The scenes' places."""
        return range(len(self.timeline.scenes))

    @cached_property
    def starts(self) -> list[float]:
        """The second at which each scene should begin."""
        return self.timeline.starts()

    @cached_property
    def ends(self) -> list[float]:
        """The second at which each scene should end."""
        return [*self.starts[1:], self.timeline.seconds]

    @property
    def words_per_minute(self) -> float | None:
        """The pace of all that is spoken."""
        spoken = sum(scene.words[-1].end for scene in self.timeline.scenes if scene.words)
        return round(len(self.timeline.words()) / spoken * 60, 1) if spoken > 0 else None

    @property
    def has_sound_to_master(self) -> bool:
        """Whether a narration or music was to be heard, which can be as loud as it should be.

        A clip's own sound may be silence or single clicks, which no gain brings to the target.
        """
        return self.timeline.music is not None or any(scene.narration for scene in self.timeline.scenes)

    @cached_property
    def has_sound_by_intent(self) -> bool:
        """Whether anything was to be heard: a narration, music, or a clip that brings its sound along."""
        return self.has_sound_to_master or any(
            scene.clip and scene.clip_volume and probe(Path(scene.clip)).audio_codec for scene in self.timeline.scenes
        )

    def scene_at(self, at: float) -> int:
        """The place of the scene that is shown at that second."""
        return max(0, bisect_right(self.starts, at + FRAME / 2) - 1)

    def pieces(self, stretch: Stretch) -> list[tuple[int, Stretch]]:
        """A stretch scene by scene, without what is shorter than two frames; beyond the last scene it is that one's."""
        ends = [*self.ends[:-1], max(self.ends[-1], stretch.end)]
        found = [
            (place, Stretch(max(stretch.start, start), min(stretch.end, end)))
            for place, (start, end) in enumerate(zip(self.starts, ends, strict=True))
        ]
        return [(place, piece) for place, piece in found if piece.seconds > _LEAST_PIECE]

    def lag(self, place: int) -> float | None:
        """Seconds by which a scene's voice is later than its picture; None when it cannot be made out."""
        voice = self.voices[place]
        found = voice.found if voice is not None else None
        if found is None or found.likeness < LIKE:
            return None
        # A syllable or two may be like another moment, too: the wrong place must be the clearly better one.
        if not EARLIEST <= found.lag <= LATEST and found.likeness - found.likeness_in_time < _CLEARLY:
            return None
        seen = self.cuts[place]
        return found.lag - (seen - self.starts[place] if seen is not None else self.file.start)


def voice_of(scene: TimelineScene, start: float, sound: Sound | None) -> Voice | None:
    """How a scene's narration is found in the file's sound; None when the scene has none."""
    if scene.narration is None:
        return None
    whole = speech_envelope(Path(scene.narration))
    length = round(scene.length / HOP)
    beyond = speaking(whole)[length:].nonzero()[0]
    cut_off = HOP * int(beyond[-1] + 1) if len(beyond) else 0.0
    envelope = whole[:length]
    spoken = speaking(envelope)
    times = start + HOP * spoken.nonzero()[0]
    if sound is None or not len(times):
        return Voice(None, HOP * len(times), HOP * len(times), start, cut_off)
    silent = np.zeros(len(times), bool)
    for stretch in sound.silent:
        silent |= (times >= stretch.start) & (times < stretch.end)
    unheard_from = float(times[silent.argmax()])
    found = heard(envelope, sound.speech, start, (EARLIEST, LATEST))
    return Voice(found, HOP * len(times), HOP * int(silent.sum()), unheard_from, cut_off)


def speed(caption: Caption) -> float:
    """Characters a second."""
    return len(caption.text) / max(FRAME, caption.end - caption.start)


def longest_line(caption: Caption) -> int:
    """Characters of its longest line."""
    return max(map(len, caption.text.splitlines()), default=0)


def covered_words(case: Case) -> float:
    """Share of the spoken words that a caption shows."""
    shown = sum(len(caption.words) for caption in case.captions)
    return min(1.0, shown / max(1, len(case.timeline.words())))


def time_covered(case: Case) -> float:
    """Share of the time in which words are spoken during which a caption is shown."""
    words = case.timeline.words()
    spoken = sum(word.end - word.start for word in words)
    both = sum(
        max(0.0, min(word.end, caption.end) - max(word.start, caption.start))
        for caption in case.captions
        for word in caption.words
    )
    return min(1.0, both / spoken) if spoken > 0 else 1.0


def check(
    name: str, title: str, state: State, measured: str, wanted: str, told: str | None = None, place: int | None = None
) -> Check:
    """A check; `told` gets the scene's number in front."""
    if told is not None and place is not None:
        told = f"scene {place + 1}: {told}"
    scene = None if place is None else place + 1
    return Check(name=name, title=title, state=state, measured=measured, wanted=wanted, told=told, scene=scene)


def outcome(is_good: bool, otherwise: State = "fail") -> State:
    """What a rule comes to that is kept, or that is not."""
    return "pass" if is_good else otherwise
