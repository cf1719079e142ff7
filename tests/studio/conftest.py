"""Narrations, pictures and one composed video, made once and measured by many tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from ytray.studio.model import Scene, Speech
from ytray.studio.providers import painter, speaker
from ytray.studio.providers.protocols import Spoken
from ytray.studio.render.compose import compose
from ytray.studio.render.timeline import Timeline, scene_of

SENTENCES = ("Why do cats purr? Keep your first guess.", "Look for {one} small \\N detail, 50% of it: 'there'.")


@dataclass(frozen=True)
class Composed:
    """A video of two scenes with captions, what it was made from, and the progress that was told meanwhile."""

    video: Path
    timeline: Timeline
    told: list[float]


@pytest.fixture(scope="session")
def narrations(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Spoken]]:
    """The sentences, spoken."""
    folder = tmp_path_factory.mktemp("speech")
    files = [folder / f"{place}.wav" for place in range(len(SENTENCES))]
    return [(file, speaker().speak(text, "en", file)) for file, text in zip(files, SENTENCES, strict=True)]


@pytest.fixture(scope="session")
def timeline(narrations: list[tuple[Path, Spoken]], tmp_path_factory: pytest.TempPathFactory) -> Timeline:
    """Two scenes; the pictures' names would break out of a filter graph that quoted them."""
    folder = tmp_path_factory.mktemp("pic,tures;[x]'s")
    scenes = []
    for place, (wav, spoken) in enumerate(narrations):
        picture = folder / f"{place}'],drawtext=text=x;.jpg"
        scene = Scene(narration="", subject=("cats", "ocean")[place], mood="bright")
        painter().draw(scene, "test", (270, 480), picture)
        speech = Speech(uri=str(wav), seconds=spoken.seconds, words=spoken.words, voice="", provider="")
        scenes.append(scene_of(place, speech, picture=str(picture)))
    return Timeline(width=270, height=480, scenes=scenes)


@pytest.fixture(scope="session")
def composed(timeline: Timeline, tmp_path_factory: pytest.TempPathFactory) -> Composed:
    """The video."""
    video = tmp_path_factory.mktemp("video") / "video.mp4"
    told: list[float] = []
    compose(timeline, video, told.append)
    return Composed(video, timeline, told)
