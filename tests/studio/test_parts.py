"""What is encoded by itself, and what its name stands for."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.studio.measure import solid
from ytray.studio.model import Word
from ytray.studio.render.encoders import CPU
from ytray.studio.render.parts import Part, part_name, parts_of, split
from ytray.studio.render.timeline import FRAMES_PER_SECOND, Effect, Timeline, TimelineScene


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(solid(tmp_path_factory.mktemp("parts") / "red.png", (64, 64), "red"))


def scenes_of(picture: str, *shapes: tuple[float, float]) -> list[TimelineScene]:
    return [TimelineScene(picture=picture, seconds=seconds, crossfade=crossfade) for seconds, crossfade in shapes]


def timeline_of(picture: str, *shapes: tuple[float, float]) -> Timeline:
    return Timeline(width=64, height=64, scenes=scenes_of(picture, *shapes))


@given(
    st.lists(st.tuples(st.floats(0.02, 12), st.floats(0, 2)), min_size=1, max_size=8),
)
def test_every_frame_belongs_to_one_part(shapes: list[tuple[float, float]]) -> None:
    fitting = [(seconds, min(fade, seconds / 2, following / 2)) for (seconds, fade), (following, _) in pairwise(shapes)]
    timeline = timeline_of("no-file.png", *fitting, (shapes[-1][0], 0.0))
    parts = parts_of(timeline)
    assert sum(part.frames for part in parts) == timeline.frames
    assert all(part.frames > 0 for part in parts)
    shown: dict[int, list[int]] = {}
    for part in parts:
        for number, picture in enumerate(part.pictures):
            shown.setdefault(part.place + number, []).extend(range(picture.first, picture.first + part.frames))
    for place, frames in shown.items():  # each scene's picture goes on evenly from part to part
        lead = timeline.scenes[place - 1].fading_frames if place else 0
        assert sorted(frames) == list(range(lead + timeline.scenes[place].frames))


def test_a_part_alone_is_the_part_in_its_timeline(picture: str) -> None:
    timeline = timeline_of(picture, (2, 0.5), (9, 1.0), (3, 0), (1, 0.2), (2, 0))
    whole = sorted(part_name(part, CPU.encoding) for part in parts_of(timeline))
    alone = sorted(part_name(parts_of(one.timeline)[one.part], CPU.encoding) for one in split(timeline))
    assert alone == whole


def test_the_longest_part_is_rendered_first(picture: str) -> None:
    excerpts = split(timeline_of(picture, (1, 0), (3, 0.5), (2, 0)))
    parts = [parts_of(one.timeline, one.first_place)[one.part] for one in excerpts]
    assert [part.told() for part in parts] == ["scene 2", "scene 3", "scene 1", "the crossfade after scene 2"]
    assert [part.frames for part in parts] == sorted((part.frames for part in parts), reverse=True)


def test_a_long_scene_is_cut_into_parts_of_four_seconds_at_most(picture: str) -> None:
    parts = parts_of(timeline_of(picture, (10, 0)))
    assert [part.frames for part in parts] == [100, 100, 100]


def test_captions_keep_their_time_in_the_parts_of_a_scene(picture: str) -> None:
    timeline = timeline_of(picture, (10, 0))
    timeline.scenes[0].words = [Word(text="one.", start=1, end=2), Word(text="two.", start=5, end=6)]
    first, second, _ = parts_of(timeline)
    assert [caption.text for caption in first.captions] == ["one."]
    (caption,) = second.captions
    assert caption.text == "two."
    assert caption.start == pytest.approx(5 - 100 / FRAMES_PER_SECOND)


_CHANGES: dict[str, dict[str, Any]] = {
    "motion": {"motion": "left"},
    "fit": {"fit": "blur"},
    "words": {"words": [Word(text="hello", start=0, end=0.5)]},
    "length": {"seconds": 1.5},
    "effects": {"effects": [Effect(name="BlackAndWhite")]},
}


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES.keys())
def test_whatever_changes_a_scenes_look_changes_its_name_and_no_others(picture: str, change: dict[str, Any]) -> None:
    before = timeline_of(picture, (1, 0), (2, 0), (3, 0))
    after = before.model_copy(update={"scenes": [before.scenes[0].model_copy(update=change), *before.scenes[1:]]})
    assert _names(before)[0] != _names(after)[0]
    assert _names(before)[1:] == _names(after)[1:]


def test_a_changed_style_changes_only_scenes_with_captions(picture: str) -> None:
    before = timeline_of(picture, (1, 0), (2, 0))
    before.scenes[0].words = [Word(text="hello", start=0, end=0.5)]
    after = before.model_copy(update={"caption_style": "boxed"})
    assert _names(before)[0] != _names(after)[0]
    assert _names(before)[1] == _names(after)[1]


def test_a_name_stands_for_the_pictures_content_not_for_its_path(picture: str, tmp_path: Path) -> None:
    (tmp_path / "copy.png").write_bytes(Path(picture).read_bytes())
    assert _names(timeline_of(picture, (1, 0))) == _names(timeline_of(str(tmp_path / "copy.png"), (1, 0)))


def _names(timeline: Timeline) -> list[str]:
    parts: list[Part] = parts_of(timeline)
    return [part_name(part, CPU.encoding) for part in parts]


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        ([(2.0, 1.5), (2.0, 0.0)], "longer than half"),
        ([(2.0, 1.0), (0.5, 0.0)], "longer than the scene that it fades into"),
        ([(2.0, 1.0)], "no next one"),
        ([(0.0, 0.0)], "greater than 0"),
        ([(float("nan"), 0.0)], "finite"),
    ],
)
def test_a_timeline_that_cannot_be_shown_is_refused(shapes: list[tuple[float, float]], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        timeline_of("no-file.png", *shapes)


def test_a_scene_shows_a_picture_or_a_clip() -> None:
    with pytest.raises(ValidationError, match="either a picture or a clip"):
        TimelineScene(picture="a.png", clip="b.mp4", seconds=1)
    with pytest.raises(ValidationError, match="either a picture or a clip"):
        TimelineScene(seconds=1)


def test_a_timeline_of_an_earlier_version_can_still_be_rendered() -> None:
    scene = '{"picture": "p.jpg", "narration": "n.wav", "words": [], "seconds": 2.0, "motion": "in"}'
    old = f'{{"width": 1080, "height": 1920, "captions": true, "scenes": [{scene}]}}'
    assert Timeline.model_validate_json(old).scenes[0].fit == "crop"
