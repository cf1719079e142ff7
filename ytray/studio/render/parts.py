"""What of a timeline is encoded by itself: stretches of each scene, and each joint where two scenes crossfade.

Every frame belongs to one part and is encoded once; parts are then joined without encoding. Over the last frames of a
scene with a crossfade the next scene's picture fades in: it begins so much earlier, and no length or word time changes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from ytray.engine.base.canonical import ordered
from ytray.errors import PermanentError
from ytray.studio.model import CaptionStyle
from ytray.studio.platforms import Platform
from ytray.studio.render import effects
from ytray.studio.render.digests import digest
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.text.captions import Caption, captions_of
from ytray.studio.render.text.fonts import check_drawable
from ytray.studio.render.text.lettering import lettering_key
from ytray.studio.render.timeline import FRAMES_PER_SECOND, Renderer, Timeline, TimelineScene

_LONGEST = 120  # frames: a longer scene is cut into several parts, which are rendered side by side
_LOOKS = 4  # raised when parts come out different from what they were: kept ones are then no longer used


@dataclass(frozen=True)
class Shown:
    """A stretch of a scene's picture: from its `first` frame, of `in_all` (its crossfade into view included)."""

    scene: TimelineScene
    first: int
    in_all: int


@dataclass(frozen=True)
class Part:
    """A stretch of `frames` frames that is encoded by itself; `fades_into` fades in over the whole of it.

    `place` is that of its scene in the timeline; `captions` have their times from the part's first frame.
    """

    place: int
    frames: int
    size: tuple[int, int]
    shown: Shown
    fades_into: Shown | None
    captions: tuple[Caption, ...]
    style: CaptionStyle
    platform: Platform
    renderer: Renderer

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.frames / FRAMES_PER_SECOND

    @property
    def pictures(self) -> tuple[Shown, ...]:
        """What it shows: one picture, or two in a joint."""
        return (self.shown,) if self.fades_into is None else (self.shown, self.fades_into)

    def told(self) -> str:
        """What it is, for messages: scenes are counted from 1."""
        return f"scene {self.place + 1}" if self.fades_into is None else f"the crossfade after scene {self.place + 1}"


def parts_of(timeline: Timeline, first_place: int = 0) -> list[Part]:
    """The parts of a timeline, in their order; `first_place` is that of its first scene in the whole video, from 0.

    Raises PermanentError when no font can draw its captions, or an effect of its scenes is not known.
    """
    leads = [0, *(scene.fading_frames for scene in timeline.scenes[:-1])]
    found: list[Part] = []
    for number, (scene, lead) in enumerate(zip(timeline.scenes, leads, strict=True)):
        place = first_place + number
        captions = _captions(timeline, scene)
        in_all, fading = lead + scene.frames, scene.fading_frames
        for first, frames in _stretches(scene):
            shown = Shown(scene, lead + first, in_all)
            found.append(_part(timeline, place, frames, _moved(captions, -first), shown))
        if fading:
            ending = Shown(scene, in_all - fading, in_all)
            following = timeline.scenes[number + 1]
            beginning = Shown(following, 0, fading + following.frames)
            found.append(_part(timeline, place, fading, _moved(captions, fading - scene.frames), ending, beginning))
    return found


@dataclass(frozen=True)
class Excerpt:
    """A timeline of only the scenes that a part needs, the part's number in it, and its first scene's place."""

    timeline: Timeline
    part: int
    first_place: int


def split(timeline: Timeline, first_place: int = 0) -> list[Excerpt]:
    """An excerpt for each part, the longest first; narrations are left out, since a part is silent."""
    found: list[tuple[int, Excerpt]] = []
    for place, scene in enumerate(timeline.scenes):
        first = place - 1 if place and timeline.scenes[place - 1].fading_frames else place
        last = place + 2 if scene.fading_frames else place + 1
        scenes = [one.model_copy(update={"narration": None}) for one in timeline.scenes[first:last]]
        scenes[-1] = scenes[-1].model_copy(update={"crossfade": 0.0})
        small = timeline.model_copy(update={"scenes": scenes, "music": None})
        before = 0 if first == place else len(_lengths(scenes[0]))
        found += [
            (length, Excerpt(small, before + number, first_place + first))
            for number, length in enumerate(_lengths(scene))
        ]
    return [excerpt for _, excerpt in sorted(found, key=lambda part: -part[0])]


def _stretches(scene: TimelineScene) -> list[tuple[int, int]]:
    """The first frame and the length of each part of a scene before its crossfade."""
    frames = scene.frames - scene.fading_frames
    if not frames:  # a scene of one frame, which is all crossfade
        return []
    number = -(-frames // _LONGEST)
    firsts = [frames * place // number for place in range(number + 1)]
    return [(first, after - first) for first, after in pairwise(firsts)]


def _lengths(scene: TimelineScene) -> list[int]:
    return [frames for _, frames in _stretches(scene)] + [scene.fading_frames] * bool(scene.fading_frames)


def part_name(part: Part, encoding: tuple[str, ...]) -> str:
    """A file name that stands for all that goes into a part: two parts of the same name look the same.

    Raises PermanentError, naming the scene and the file, for a picture or a clip that is not there.
    """
    content = [
        _LOOKS,
        binary().rpartition("/")[2],  # ffmpeg's version: another one's stream may have other headers
        encoding,
        part.renderer,
        part.size,
        part.frames,
        [_content(part, shown) for shown in part.pictures],
        lettering_key(part.captions, part.frames, part.size, part.style, part.platform) if part.captions else None,
    ]
    return f"scene-{hashlib.sha256(to_json(content)).hexdigest()[:40]}.mp4"


def _content(part: Part, shown: Shown) -> list[Any]:
    scene = shown.scene
    try:
        source = digest(Path(scene.source))
    except PermanentError as wrong:
        raise PermanentError(f"{part.told()}: {wrong}") from wrong
    return [
        source,
        scene.clip is not None,
        scene.clip_from,
        scene.motion,
        scene.fit,
        shown.first,
        shown.in_all,
        [[ordered(effect.model_dump()), effects.identity(effect)] for effect in scene.effects],
    ]


def _part(
    timeline: Timeline,
    place: int,
    frames: int,
    captions: tuple[Caption, ...],
    shown: Shown,
    fades_into: Shown | None = None,
) -> Part:
    has_effects = any(picture.scene.effects for picture in (shown, fades_into) if picture is not None)
    seconds = frames / FRAMES_PER_SECOND
    return Part(
        place=place,
        frames=frames,
        size=timeline.size,
        shown=shown,
        fades_into=fades_into,
        captions=tuple(caption for caption in captions if caption.end > 0 and caption.start < seconds),
        style=timeline.caption_style,
        platform=timeline.platform,
        renderer="moviepy" if has_effects else timeline.renderer,
    )


def _captions(timeline: Timeline, scene: TimelineScene) -> tuple[Caption, ...]:
    if not timeline.captions:
        return ()
    check_drawable(" ".join(word.text for word in scene.words))
    return tuple(captions_of(scene.words, until=scene.length))


def _moved(captions: tuple[Caption, ...], frames: int) -> tuple[Caption, ...]:
    return tuple(caption.moved(frames / FRAMES_PER_SECOND) for caption in captions)
