"""The timeline: the only input of rendering. JSON in and out, so that it can be edited and rendered again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ytray.engine.base.arguments import is_stored
from ytray.errors import PermanentError
from ytray.studio.model import SIZES, Aspect, CaptionStyle, Crossfade, Fit, Mood, SceneMedia, Speech, Word
from ytray.studio.platforms import DEFAULT_PLATFORM, Platform
from ytray.studio.render.effect_sizes import check_sizes
from ytray.studio.render.word_times import in_order

FRAMES_PER_SECOND = 30
Motion = Literal["in", "out", "left", "right", "none"]
Renderer = Literal["ffmpeg", "moviepy"]
_LONGEST = 4 * 3600  # seconds of a whole timeline
_MOTIONS: tuple[Motion, ...] = ("in", "right", "out", "left")
_GAP = 0.12  # seconds of silence after each scene's narration, so that sentences do not run into each other
CUT_OFF = 0.1  # seconds of speech after a scene's end from which on something is missing
_MOST_WORDS = 50  # a second: ten times what anybody says
_Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


def _can_name_a_file(name: str) -> str:
    if not name or "\0" in name:
        raise ValueError("a file's name has at least a letter, and no NUL")
    return name


_File = Annotated[str, AfterValidator(_can_name_a_file)]
_Side = Annotated[int, Field(ge=64, le=4096, multiple_of=2)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Effect(_Strict):
    """A MoviePy effect: the name of its class in `moviepy.vfx`, or `module.Class` of one of YTRAY_IMPORTS."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    arguments: dict[str, JsonValue] = {}


class Music(_Strict):
    """A music bed under the whole video: a file of the user's, else one synthesised in `mood`.

    It plays `below_voice` LU (loudness units, a decibel each) below the voice, and gives way further while somebody
    speaks when `ducking`.
    """

    file: _File | None = None
    mood: Mood = "calm"
    below_voice: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 10.0
    ducking: bool = True


class TimelineScene(_Strict):
    """One scene of `seconds`: a still that moves or a clip, while its narration (a WAV file) plays.

    `picture`, `clip` and `narration` are files, or in a timeline that is kept the URIs of artifacts.

    Args:
        picture: a still; a scene has either this or a `clip`.
        clip: a moving picture, played from `clip_from` seconds on; its last frame stands when it is too short.
        clip_volume: how loud the clip's own sound is, as a factor; 0 leaves it out.
        fit: how a source of another shape fills the video: cropped, or whole over a blurred copy of itself.
        motion: how a still moves; a clip moves by itself.
        crossfade: over so many last seconds of this scene the next one's picture fades in; 0 is a cut.
        effects: MoviePy effects, in their order; a scene that has some is rendered by MoviePy.
    """

    picture: _File | None = None
    clip: _File | None = None
    clip_from: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 0.0
    clip_volume: Annotated[float, Field(ge=0, le=4, allow_inf_nan=False)] = 0.0
    narration: _File | None = None
    words: list[Word] = []
    seconds: _Seconds
    motion: Motion = "in"
    fit: Fit = "crop"
    crossfade: Crossfade = 0.0
    effects: list[Effect] = []

    @field_validator("words")
    @classmethod
    def _in_order(cls, words: list[Word]) -> list[Word]:
        return in_order(words)

    @model_validator(mode="after")
    def _shows_one_thing(self) -> Self:
        if (self.picture is None) == (self.clip is None):
            raise ValueError("a scene shows either a picture or a clip")
        if len(self.words) > _MOST_WORDS * max(1.0, self.seconds):
            raise ValueError(f"{len(self.words):,} words in {self.seconds:g} s are more than anybody can say or read")
        if self.crossfade * 2 > self.seconds:
            raise ValueError(f"a crossfade of {self.crossfade} s is longer than half of its scene of {self.seconds} s")
        return self

    @property
    def frames(self) -> int:
        """Length in frames."""
        return max(1, round(self.seconds * FRAMES_PER_SECOND))

    @property
    def length(self) -> float:
        """Length in seconds, in whole frames."""
        return self.frames / FRAMES_PER_SECOND

    @property
    def fading_frames(self) -> int:
        """How many of its last frames the next scene fades into."""
        return round(self.crossfade * FRAMES_PER_SECOND)

    @property
    def source(self) -> str:
        """What it shows: its clip or its picture."""
        return self.clip or self.picture or ""


class Timeline(_Strict):
    """A whole video: its size in pixels, its scenes, how its captions look, its music, where it is to be shown.

    `names` are what its maker calls the files that were taken in, by their URIs: messages name them so.
    """

    width: _Side
    height: _Side
    captions: bool = True
    caption_style: CaptionStyle = "highlight"
    platform: Platform = DEFAULT_PLATFORM
    renderer: Renderer = "ffmpeg"
    music: Music | None = None
    names: dict[str, Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^/\x00]+$")]] = {}
    scenes: Annotated[list[TimelineScene], Field(min_length=1, max_length=5000)]

    @model_validator(mode="after")
    def _is_not_endless(self, info: ValidationInfo) -> Self:
        if self.seconds > _LONGEST and not is_stored(info):
            raise ValueError(
                f"a timeline lasts at most {_LONGEST:,} s, and these {len(self.scenes):,} scenes last "
                f"{self.seconds:,.0f} s together: render it in several"
            )
        return self

    @model_validator(mode="after")
    def _has_effects_of_its_size(self, info: ValidationInfo) -> Self:
        for place, scene in enumerate(self.scenes if not is_stored(info) else ()):
            try:
                check_sizes(scene.effects, self.size)
            except ValueError as wrong:
                raise ValueError(f"scene {place + 1}: {wrong}") from None
        return self

    @model_validator(mode="after")
    def _ends_without_a_fade(self) -> Self:
        if self.scenes[-1].crossfade:
            raise ValueError("the last scene has no next one to fade into")
        for scene, following in pairwise(self.scenes):
            if scene.fading_frames > following.frames:
                raise ValueError(f"a crossfade of {scene.crossfade} s is longer than the scene that it fades into")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height

    @property
    def seconds(self) -> float:
        """Length of the video."""
        return self.frames / FRAMES_PER_SECOND

    @property
    def frames(self) -> int:
        """Length of the video in frames."""
        return sum(scene.frames for scene in self.scenes)

    def starts(self) -> list[float]:
        """The second at which each scene begins."""
        found, at = [], 0
        for scene in self.scenes:
            found.append(at / FRAMES_PER_SECOND)
            at += scene.frames
        return found

    def words(self) -> list[Word]:
        """Every word with its time in the whole video."""
        return [
            Word(text=word.text, start=word.start + start, end=word.end + start)
            for start, scene in zip(self.starts(), self.scenes, strict=True)
            for word in scene.words
        ]


@dataclass(frozen=True)
class Look:
    """What a video's scenes have in common: shape, captions, platform, transitions, music."""

    aspect: Aspect = "9:16"
    captions: bool = True
    caption_style: CaptionStyle = "highlight"
    platform: Platform = DEFAULT_PLATFORM
    crossfade: float = 0.0  # seconds
    fit: Fit = "crop"
    music: Music | None = None


def timeline_of(media: list[SceneMedia], look: Look, *, place: int = 0) -> Timeline:
    """The timeline of scenes, by the URIs of their artifacts; the first is the `place`-th of its video, from 0.

    A crossfade is shortened where a scene is too short for it. Raises PermanentError, naming the scene, for words whose
    times cannot be.
    """
    scenes = []
    for number, one in enumerate(media, place):
        try:
            scenes.append(scene_of(number, one.speech, picture=one.picture, clip=one.clip, fit=look.fit))
        except ValidationError as wrong:
            reason = wrong.errors()[0]["msg"].removeprefix("Value error, ")
            raise PermanentError(f"scene {number + 1}: {reason}") from wrong
    if look.crossfade:
        for scene, following in pairwise(scenes):
            scene.crossfade = min(look.crossfade, scene.seconds / 2, following.seconds)
    width, height = SIZES[look.aspect]
    try:
        return Timeline(
            width=width,
            height=height,
            captions=look.captions,
            caption_style=look.caption_style,
            platform=look.platform,
            music=look.music,
            scenes=scenes,
        )
    except ValidationError as wrong:
        raise PermanentError(wrong.errors()[0]["msg"].removeprefix("Value error, ")) from wrong


def scene_of(place: int, speech: Speech, **shown: Any) -> TimelineScene:
    """A scene as long as its narration; scenes take turns in how their pictures move.

    `shown` are other fields of `TimelineScene`: its picture or clip, and the rest.
    """
    chosen = {"motion": _MOTIONS[place % len(_MOTIONS)], **shown}
    return TimelineScene(narration=speech.uri, words=speech.words, seconds=speech.seconds + _GAP, **chosen)
