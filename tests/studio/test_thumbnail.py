"""Thumbnails, measured: the frame that is chosen, the crop, the title and how well it stands out.

The face is a photograph's (data/README.md).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from tests.studio.measure import Pixels, pixels
from ytray.errors import PermanentError
from ytray.studio.model import Scene
from ytray.studio.providers import painter
from ytray.studio.render import ffmpeg, subject, thumbnail
from ytray.studio.render.subject import Box, Subject
from ytray.studio.render.text import typesetting
from ytray.studio.render.thumbnail import THUMBNAIL_LIMIT, thumbnails, typeset, window

_ENCODED = [
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-crf",
    "10",
    "-pix_fmt",
    "yuv420p",
    "-g",
    "15",
    "-flags",
    "+cgop",
]


ASTRONAUT = Path(__file__).parent / "data" / "astronaut.jpg"
_FACE = Box(0.34, 0.12, 0.2, 0.2)  # where hers is, in shares of the photograph's sides


def _photographed(size: tuple[int, int], at: tuple[int, int], side: int) -> Image.Image:
    """The photograph on a plain ground; `at` is its upper left corner, `side` its length in pixels."""
    image = Image.new("RGB", size, (96, 120, 140))
    with Image.open(ASTRONAUT) as photo:
        image.paste(photo.resize((side, side), Image.Resampling.LANCZOS), at)
    return image


def _busy(size: tuple[int, int], seed: int) -> Image.Image:
    """Coloured squares: much detail."""
    few = np.random.default_rng(seed).integers(0, 255, (size[1] // 20, size[0] // 20, 3), np.uint8)
    return Image.fromarray(few).resize(size, Image.Resampling.NEAREST)


def _video(output: Path, stills: list[Image.Image], graph: str) -> Path:
    """A video of stills, half a second each, put together by a filter graph."""
    arguments: list[str] = []
    for place, still in enumerate(stills):
        still.save(output.parent / f"{output.stem}{place}.png")
        arguments += ["-loop", "1", "-framerate", "30", "-t", "0.5", "-i", f"{output.stem}{place}.png"]
    joined = f"{graph},scale=out_color_matrix=bt709,setparams=colorspace=bt709[joined]"
    arguments += ["-filter_complex", joined, "-map", "[joined]", *_ENCODED]
    ffmpeg.run(arguments, output, seconds=1, folder=output.parent)
    return output


def _joined(output: Path, stills: list[Image.Image]) -> Path:
    return _video(output, stills, f"{''.join(f'[{n}]' for n in range(len(stills)))}concat=n={len(stills)}")


@pytest.fixture(scope="module")
def upright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portrait video: black, blurred, bright with a drawn scene, white."""
    folder = tmp_path_factory.mktemp("upright")
    painter().draw(Scene(narration="", subject="cats", mood="bright"), "test", (320, 568), folder / "cat.jpg")
    with Image.open(folder / "cat.jpg") as opened:
        cat = opened.convert("RGB")
    size = cat.size
    stills = [Image.new("RGB", size, (3, 3, 3)), cat.filter(ImageFilter.GaussianBlur(25)), cat]
    return _joined(folder / "video.mp4", [*stills, Image.new("RGB", size, (252, 252, 252))])


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landscape video with a face."""
    folder = tmp_path_factory.mktemp("wide")
    return _joined(folder / "video.mp4", [_busy((568, 320), 1), _photographed((568, 320), (130, 0), 320)])


def _both(video: Path, title: str, folder: Path) -> tuple[Pixels, Pixels]:
    landscape, portrait = folder / "l.jpg", folder / "p.jpg"
    thumbnails(video, title, landscape, portrait, folder)
    assert sorted(file.name for file in folder.glob("*.*")) == ["l.jpg", "p.jpg"]
    for file in (landscape, portrait):
        assert file.stat().st_size < THUMBNAIL_LIMIT
    made = pixels(landscape), pixels(portrait)
    assert (made[0].shape, made[1].shape) == ((720, 1280, 3), (1920, 1080, 3))
    return made


def _light(picture: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return thumbnail.luminance(picture)


@pytest.mark.parametrize(
    "title",
    [
        "Why do cats purr?",
        "なぜ猫はゴロゴロ鳴くのか?その秘密を解説します",
        "10 facts about {oceans} 🌊 %d",
        "لماذا تخرخر القطط؟",
    ],
)
def test_the_title_stands_out_from_all_that_is_behind_it(title: str, upright: Path, tmp_path: Path) -> None:
    for picture, layout in zip(_both(upright, title, tmp_path), ("l", "p"), strict=True):
        light = _light(picture)
        letters = picture.min(axis=2) > 235
        assert letters.sum() > 1500
        rows, columns = np.where(letters & (_light(picture) > 0.8))
        top, bottom = np.percentile(rows, [1, 99]).astype(int)
        left, right = np.percentile(columns[(rows >= top) & (rows <= bottom)], [2, 95]).astype(int)
        if layout == "l" and title[0] != "ل":
            right = min(right, 640)  # what is bright on the right is the picture
        if layout == "l" and title[0] == "ل":
            left = max(left, 640)
        behind = light[top:bottom, left:right]
        # Letters are white or yellow, their edges in between: the ground is what is darker than a third.
        ground = behind[behind < 0.33]
        assert (1 + 0.05) / (np.percentile(ground, 95) + 0.05) >= 4.5


def test_the_sharp_and_well_lit_scene_is_chosen(upright: Path, tmp_path: Path) -> None:
    landscape, portrait = _both(upright, "Cats", tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    assert (_both(upright, "Cats", again)[0] == landscape).all()
    assert 40 < portrait[:1000].mean() < 220
    # In the source's own size, where the blurred scene has no edge at all.
    small = np.asarray(Image.fromarray(portrait[:1000]).convert("L").resize((320, 296)), np.float32)
    assert np.abs(np.diff(small, axis=1)).max() > 60


def test_a_face_is_chosen_and_kept_clear_of_the_title(wide: Path, tmp_path: Path) -> None:
    landscape, portrait = _both(wide, "The man behind it all", tmp_path)
    (beside,) = subject.faces(landscape)
    assert beside.left > 640
    assert beside.left + beside.width < 1270
    (above,) = subject.faces(portrait[::2, ::2])
    assert (above.top + above.height) * 2 < 1160


@pytest.mark.parametrize("side", [300, 350, 400])
@pytest.mark.parametrize("light", [0.4, 1.0])
def test_a_face_is_found_where_it_is(side: int, light: float) -> None:
    photo = _photographed((480, 420), (60, 10), side).point(lambda level: round(level * light))
    (found,) = subject.faces(np.asarray(photo))
    x, y = found.middle
    assert _FACE.holds(Box((x - 60) / side, (y - 10) / side, 0, 0))
    (turned,) = subject.faces(np.asarray(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    assert turned.middle == pytest.approx((480 - x, y), abs=side / 20)


def test_no_face_is_found_in_drawings(tmp_path: Path) -> None:
    for name in ("cats", "robot", "city"):
        painter().draw(Scene(narration="", subject=name, mood="dark"), "test", (270, 480), tmp_path / "drawn.jpg")
        assert subject.faces(pixels(tmp_path / "drawn.jpg")) == []


def test_a_frame_within_a_fade_is_told_from_movement_and_cuts() -> None:
    one, other = (np.asarray(_busy((200, 120), seed)) for seed in (1, 2))
    mixed = (0.4 * one + 0.6 * other).astype(np.uint8)
    moved = [np.roll(one, shift, axis=1) for shift in (0, 30, 60)]
    assert subject.is_fading(one, mixed, other)
    assert not subject.is_fading(one, one, other)
    assert not subject.is_fading(*moved)
    assert not subject.is_fading(one, one, one)


def test_a_crossfade_is_passed_over(tmp_path: Path) -> None:
    one, other = _busy((320, 568), 1), _busy((320, 568), 2).filter(ImageFilter.GaussianBlur(2))
    video = _video(tmp_path / "v.mp4", [one, other], "[0][1]xfade=duration=0.4:offset=0.1")
    (tmp_path / "out").mkdir()
    _, portrait = _both(video, "x", tmp_path / "out")
    shown = Image.fromarray(portrait[:900]).resize((54, 45), Image.Resampling.BOX)
    near = []
    for still in (one, other, Image.blend(one, other, 0.5)):
        seen = still.crop((0, 0, 320, round(568 * 0.64))).resize((54, 67), Image.Resampling.BOX).crop((0, 0, 54, 45))
        near.append(np.corrcoef(np.asarray(seen, float).ravel(), np.asarray(shown, float).ravel())[0, 1])
    assert max(near[:2]) > near[2]


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_the_crop_keeps_the_subject_clear(place: float) -> None:
    at = Box(1000 * place - 60, 200, 120, 120)
    picture, clear = Box(400, 0, 880, 720), Box(660, 20, 600, 680)
    seen = window((1000, 600), picture, clear, at)
    assert Box(0, 0, 1000, 600).holds(seen)
    assert seen.width / seen.height == pytest.approx(picture.width / picture.height, rel=0.01)
    scale = picture.width / seen.width
    shown = Box(picture.left + (at.left - seen.left) * scale, (at.top - seen.top) * scale, 120 * scale, 120 * scale)
    if place >= 0.3:  # what stands at the edge of the frame cannot be moved beyond it
        assert clear.holds(shown)
    assert picture.holds(shown)


@given(*[st.integers(2, 20_000)] * 2, *[st.floats(0, 1)] * 4)
def test_the_crop_of_a_frame_of_any_size_lies_inside_it(
    width: int, height: int, left: float, top: float, wide: float, high: float
) -> None:
    at = Box(left * width, top * height, wide * (1 - left) * width, high * (1 - top) * height)
    seen = window((width, height), Box(400, 0, 880, 720), Box(660, 20, 600, 680), at)
    assert Box(0, 0, width, height).holds(seen)


def test_what_stands_out_is_found() -> None:
    picture = np.full((300, 400, 3), (70, 90, 120), np.uint8)
    picture[80:160, 260:340] = (240, 120, 30)
    found = subject.subject_of(picture)
    assert isinstance(found, Subject)
    assert not found.is_face
    assert found.box.middle == pytest.approx((0.75, 0.4), abs=0.12)


def test_titles_are_large_when_short_and_whole_as_long_as_they_fit() -> None:
    lines, size = typeset("Why?", 600, 590, 150, 52)
    assert (lines, size) == (["Why?"], 150)
    lines, size = typeset("The history of coffee in three facts", 600, 590, 150, 52)
    assert " ".join(lines) == "The history of coffee in three facts"
    assert size >= 96
    lines, _ = typeset("なぜ猫はゴロゴロ鳴くのか?その秘密を解説します", 600, 590, 150, 52)
    assert len(lines) > 2
    assert all(line[0] not in "?、。ー" for line in lines)
    lines, size = typeset("word " * 100, 600, 590, 150, 52)
    assert (size, lines[-1][-1]) == (52, "…")
    lines, _ = typeset("Pneumono" * 30, 600, 590, 150, 52)
    assert all(typesetting.width(line, 52) <= 600 for line in lines)


def test_what_cannot_be_made_is_said_before_anything_is_written(upright: Path, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"U\+E000"):
        thumbnails(upright, "\ue000", tmp_path / "l.jpg", tmp_path / "p.jpg", tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.mp4").write_text("no video")
    with pytest.raises(PermanentError, match=r"bad\.mp4 is not a readable media file"):
        thumbnails(tmp_path / "in" / "bad.mp4", "Cats", tmp_path / "l.jpg", tmp_path / "p.jpg", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["in"]
