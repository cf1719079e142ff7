"""The offline painter, and clips made from what it paints."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.studio.measure import Pixels, frames, pixels
from ytray.studio.model import Scene
from ytray.studio.providers import film_maker, painter
from ytray.studio.providers.motifs import MOTIFS
from ytray.studio.render.probe import probe

SUBJECTS = ["mountain", "ocean", "city", "planet", "coffee", "forest", "love", "robot", "cat", "clock", "idea", "book"]
SUBJECTS += ["details", "talking", "question", "chart", "music", "zzz"]


def draw(subject: str, folder: Path, size: tuple[int, int] = (216, 384), seed: str = "s") -> Pixels:
    file = folder / "picture.jpg"
    painter().draw(Scene(narration="", subject=subject, mood="warm"), seed, size, file)
    return pixels(file)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_picture_is_not_flat_and_has_the_size_asked_for(subject: str, tmp_path: Path) -> None:
    picture = draw(subject, tmp_path)
    assert picture.shape == (384, 216, 3)
    grey = picture.mean(axis=2)
    assert grey.std() > 12
    assert 30 < grey.mean() < 215
    assert len(np.unique(picture.reshape(-1, 3) // 16, axis=0)) > 40


def test_every_motif_is_called_by_a_word_or_free(tmp_path: Path) -> None:
    assert len(SUBJECTS) == len(MOTIFS)
    shapes = [draw(subject, tmp_path).astype(float) for subject in SUBJECTS]
    for place, one in enumerate(shapes):
        for other in shapes[place + 1 :]:
            assert np.abs(one - other).mean() > 3


def test_the_same_seed_draws_the_same_and_another_seed_another(tmp_path: Path) -> None:
    first, again, other = (draw("ocean", tmp_path, seed=seed) for seed in ("a", "a", "b"))
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 2


@pytest.mark.parametrize("size", [(384, 216), (300, 300)])
def test_other_aspects_are_drawn_too(size: tuple[int, int], tmp_path: Path) -> None:
    assert draw("music", tmp_path, size).shape == (size[1], size[0], 3)


def test_a_clip_moves_and_is_as_long_as_asked(tmp_path: Path) -> None:
    still, clip = tmp_path / "still.jpg", tmp_path / "clip.mp4"
    painter().draw(Scene(narration="", subject="city", mood="dark"), "s", (270, 480), still)
    film_maker().film("a city", still, 4, (216, 384), clip)
    found = probe(clip)
    assert found.seconds == pytest.approx(4.0, abs=0.05)
    assert (found.width, found.height, found.frames_per_second) == (216, 384, 24)
    assert (found.video_codec, found.audio_codec) == ("h264", None)
    shown = frames(clip, 2).astype(int)
    assert all(np.abs(a - b).mean() > 0.5 for a, b in pairwise(shown))
