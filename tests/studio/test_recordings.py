"""What phones, cameras and recorders write becomes a film that shows and sounds as it does in a player."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.studio import time_codes
from tests.studio.measure import frames
from tests.studio.recordings import FLASH, RECORDINGS, flash_and_beep, held, is_upright, record
from ytray.studio.render.compose import compose
from ytray.studio.render.given import check_given
from ytray.studio.render.quality.gate import examine
from ytray.studio.render.timeline import FRAMES_PER_SECOND, Timeline

_SECONDS = 3.0
_SAMPLE = (
    "a recorded screen that stands still at times",
    "a front camera held upright",
    "10 bits of HLG at 60 a second, turned",
    "two broadcasts that were joined",
    "an animated WebP",
    "a sequence of AVIF",
)


def check(name: str, start: float, folder: Path) -> None:
    """Make a film of a recording from its second `start` on, and measure it."""
    recording, video = RECORDINGS[name], folder / "video.mp4"
    clip = record(recording, folder)
    scene = {"clip": str(clip), "clip_from": start, "clip_volume": 1, "seconds": _SECONDS - start}
    size = dict(zip(("width", "height"), time_codes.SIZE, strict=True))
    timeline = Timeline.model_validate({**size, "captions": False, "scenes": [scene]})
    check_given(timeline, lambda file: (Path(file), file))
    compose(timeline, video)
    shown = time_codes.read(video)
    assert len(shown) == round((_SECONDS - start) * FRAMES_PER_SECOND)
    for place, number in enumerate(shown):
        assert number in held(recording, start + place / FRAMES_PER_SECOND), (name, place)
    assert is_upright(frames(video, FRAMES_PER_SECOND, *time_codes.SIZE)[-20]), name
    flashes = FLASH - recording.cut - start
    if recording.sound is not None and flashes > 0:
        flash, beep = flash_and_beep(video)
        assert flash == pytest.approx(flashes, abs=0.05), name
        assert beep == pytest.approx(flash, abs=0.034), name
    judged = [judge for judge in examine(video, timeline).checks if judge.name.startswith("clip")]
    assert {judge.state for judge in judged} == {"pass"}, (name, judged)


@pytest.mark.parametrize("name", _SAMPLE)
def test_a_recording_is_shown_as_players_show_it(name: str, home: Path, tmp_path: Path) -> None:
    assert home.is_dir()
    check(name, 0.0, tmp_path)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", RECORDINGS)
def test_every_recording_is_shown_as_players_show_it(name: str, home: Path, tmp_path: Path) -> None:
    assert home.is_dir()
    for start in (0.0, 0.8):
        check(name, start, tmp_path)
    print(f"{name}: right from the beginning and from 0.8 s on")
