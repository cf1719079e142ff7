"""The timeline: the only input of rendering. JSON in and out, so that it can be edited and rendered again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ytray.studio.model import Word

FRAMES_PER_SECOND = 30
Motion = Literal["in", "out", "left", "right"]
_MOTIONS: tuple[Motion, ...] = ("in", "right", "out", "left")
_GAP = 0.12  # seconds of silence after each scene's narration, so that sentences do not run into each other


class TimelineScene(BaseModel):
    """One scene: a still that moves for `seconds` while its narration (a WAV file) plays.

    `picture` and `narration` are files, or in a timeline that is kept the URIs of artifacts.
    """

    model_config = ConfigDict(extra="forbid")

    picture: str
    narration: str
    words: list[Word]
    seconds: Annotated[float, Field(gt=0)]
    motion: Motion

    @property
    def frames(self) -> int:
        """Length in frames."""
        return max(1, round(self.seconds * FRAMES_PER_SECOND))

    @property
    def length(self) -> float:
        """Length in seconds, in whole frames."""
        return self.frames / FRAMES_PER_SECOND


class Timeline(BaseModel):
    """A whole video: its size in pixels and its scenes."""

    model_config = ConfigDict(extra="forbid")

    width: int
    height: int
    captions: bool = True
    scenes: Annotated[list[TimelineScene], Field(min_length=1)]

    @property
    def seconds(self) -> float:
        """Length of the video."""
        return sum(scene.frames for scene in self.scenes) / FRAMES_PER_SECOND

    def words(self) -> list[Word]:
        """Every word with its time in the whole video."""
        found: list[Word] = []
        start = 0.0
        for scene in self.scenes:
            found += [Word(text=w.text, start=w.start + start, end=w.end + start) for w in scene.words]
            start += scene.length
        return found


def scene_of(
    place: int, picture: str | Path, narration: str | Path, words: list[Word], spoken_seconds: float
) -> TimelineScene:
    """A scene as long as its narration; scenes take turns in how their pictures move."""
    return TimelineScene(
        picture=str(picture),
        narration=str(narration),
        words=words,
        seconds=spoken_seconds + _GAP,
        motion=_MOTIONS[place % len(_MOTIONS)],
    )
