"""The timeline that rendering is measured on: 1080×1920, drawn stills that move, narration, lit captions, music."""

from __future__ import annotations

import shutil
from pathlib import Path

from ytray.studio.model import Scene, Speech
from ytray.studio.providers import painter, speaker
from ytray.studio.render.timeline import Music, Timeline, scene_of

SCENES = (
    ("cat", "Look closely at this one: there is more to it."),
    ("ocean", "The sea was here before anybody gave it a name."),
    ("city", "At night a city shows what it is made of."),
    ("bees", "Nobody tells a bee where it has to go."),
    ("coffee", "One cup, and a whole morning changes its colour."),
    ("mountain", "From below it is a wall; from above it is a map."),
    ("moon", "It has no light of its own, and still it shines."),
    ("tree", "A tree writes its diary in rings."),
    ("book", "Open it anywhere, and somebody is speaking to you."),
    ("fire", "Everything that burns was once something that grew."),
)


class Kept:
    """Parts and sounds in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def has(self, name: str) -> bool:
        """Whether it is there."""
        return (self.folder / name).exists()

    def find(self, name: str, _folder: Path) -> Path | None:
        """The part, if it is there."""
        return file if (file := self.folder / name).exists() else None

    def keep(self, name: str, file: Path) -> None:
        """Keep it."""
        shutil.copy(file, self.folder / name)


def timeline(folder: Path, number: int) -> Timeline:
    """A timeline of `number` scenes of about three seconds; no two look alike. Its files are written to `folder`."""
    scenes = []
    for place in range(number):
        subject, words = SCENES[place % len(SCENES)]
        picture, narration = folder / f"{place}.jpg", folder / f"{place % len(SCENES)}.wav"
        painter().draw(Scene(narration="", subject=subject, mood="bright"), f"bench {place}", (1350, 2400), picture)
        spoken = speaker().speak(words, "en", narration)
        speech = Speech(
            uri=str(narration), seconds=spoken.seconds, words=spoken.words, voice=spoken.voice, provider="offline"
        )
        scenes.append(scene_of(place, speech, picture=str(picture)))
    return Timeline(width=1080, height=1920, scenes=scenes, music=Music())
