"""Captions as they are drawn: measured in their pixels."""

from __future__ import annotations

import time
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ytray.studio.model import SIZES, CaptionStyle, Word
from ytray.studio.platforms import PRESETS, Platform
from ytray.studio.render.text import typesetting
from ytray.studio.render.text.captions import Caption, captions_of
from ytray.studio.render.text.characters import tongue_of
from ytray.studio.render.text.fonts import check_drawable
from ytray.studio.render.text.lettering import Lettering, letter, lettering_key, safe_box
from ytray.studio.render.text.typesetting import Line

_STYLES: tuple[CaptionStyle, ...] = get_args(CaptionStyle)
_PLATFORMS: tuple[Platform, ...] = get_args(Platform)
_TALL = (1080, 1920)
_WHITE, _WARM, _PURPLE = (255, 255, 255), (255, 214, 60), (108, 60, 244)
_Drawn = NDArray[np.uint8]


def spoken(text: str, seconds_a_word: float = 0.3) -> list[Word]:
    return [
        Word(text=word, start=place * seconds_a_word, end=(place + 1) * seconds_a_word)
        for place, word in enumerate(text.split())
    ]


def one(text: str) -> Caption:
    words = tuple(spoken(text))
    return Caption(words, 0.0, words[-1].end)


def lettered(
    captions: list[Caption], style: CaptionStyle = "highlight", frames: int = 300, size: tuple[int, int] = _TALL
) -> Lettering:
    found = letter(captions, frames, size, style, "youtube_shorts")
    assert found
    return found


def where(picture: _Drawn, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) of the pixels that have nearly this colour."""
    near = (np.abs(picture[..., :3].astype(int) - colour).max(axis=2) < 12) & (picture[..., 3] > 200)
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    assert len(rows), f"nothing is drawn in {colour}"
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def ink(text: str, size: int = 80, parts: set[int] | None = None) -> _Drawn:
    check_drawable(text)
    line = Line(text.split(), size, tongue_of(text))
    mask = Image.new("L", (round(line.width) + 40, 2 * size))
    line.draw_ink(mask, 20, 1.4 * size, parts)
    return np.asarray(mask)


def test_the_first_hebrew_word_stands_at_the_right() -> None:
    words = "שלום עולם טוב"
    line = Line(["שלום", " עולם", " טוב"], 80, tongue_of(words))
    lefts = [span[0] for span in line.spans if span]
    assert lefts == sorted(lefts, reverse=True)


def test_latin_within_hebrew_keeps_its_own_order() -> None:
    parts = ["שלום", " open", " source", " עולם"]
    line = Line(parts, 80, tongue_of("".join(parts)))
    shalom, opened, source, olam = (span[0] for span in line.spans if span)
    assert olam < opened < source < shalom


def test_hebrew_letters_are_drawn_from_the_right() -> None:
    # Shin alone stands at the same end of the word as where the word has it.
    word, shin = ink("שלום"), ink("ש")
    width = int(np.flatnonzero(shin.any(axis=0))[-1]) - 20
    right = int(np.flatnonzero(word.any(axis=0))[-1])
    end = int(np.flatnonzero(shin.any(axis=0))[-1])
    assert np.array_equal(word[:, right - width + 8 : right + 1], shin[:, end - width + 8 : end + 1])


def test_arabic_letters_are_joined() -> None:
    check_drawable("ببب")
    assert typesetting.width("ببب", 80) < 0.8 * 3 * typesetting.width("ب", 80)
    columns = ink("ببب").any(axis=0)
    assert np.count_nonzero(np.diff(columns.astype(int)) == 1) == 1  # one stroke from end to end


def test_chinese_is_drawn_in_characters_and_not_in_boxes() -> None:
    drawn = [ink(char) for char in "日本花猫"]
    assert all(image.any() for image in drawn)
    assert all(not np.array_equal(one, other) for place, one in enumerate(drawn) for other in drawn[:place])


def test_emoji_are_in_colour_and_a_family_is_one() -> None:
    family = "👨\u200d👩\u200d👧"
    check_drawable(f"😺{family}")
    assert typesetting.width(family, 80) == typesetting.width("😺", 80)
    (picture, *_) = lettered([one("Hi 😺")], "clean").pictures
    colours = picture[picture[..., 3] > 250][:, :3].astype(int)
    assert np.count_nonzero(colours.max(axis=1) - colours.min(axis=1) > 100) > 200


def test_thumbnails_are_drawn_with_the_same_fonts() -> None:
    image = Image.new("RGB", (800, 200), (90, 120, 160))
    typesetting.draw(image, (30, 20), "日本 😺 שלום", 80, _WHITE, 5, (14, 12, 24))
    drawn = np.asarray(image).astype(int)
    changed = np.flatnonzero((drawn != (90, 120, 160)).any(axis=(0, 2)))
    assert 20 <= changed[0] <= 45
    assert abs(changed[-1] - 30 - typesetting.width("日本 😺 שלום", 80)) < 20


def test_words_keep_their_places_from_one_to_the_next() -> None:
    lettering = lettered([one("one two three")], "highlight")
    covers = [picture[..., 3] for picture in lettering.pictures[:3]]
    assert np.array_equal(covers[0], covers[1])
    assert np.array_equal(covers[1], covers[2])
    lit = [where(picture, _WARM) for picture in lettering.pictures[:3]]
    for place, picture in enumerate(lettering.pictures[:3]):
        for other, (left, top, right, bottom) in enumerate(lit):
            if other != place:
                word = where(picture[top - 4 : bottom + 4, left - 4 : right + 4], _WHITE)
                assert word == (4, 4, 4 + right - left, 4 + bottom - top)


@pytest.mark.parametrize(("style", "colour"), [("highlight", _WARM), ("boxed", _WARM), ("pill", _PURPLE)])
def test_each_word_is_lit_from_the_frame_at_which_it_is_spoken(
    style: CaptionStyle, colour: tuple[int, int, int]
) -> None:
    words = (
        Word(text="one", start=0.5, end=0.9),
        Word(text="two", start=0.91, end=1.2),
        Word(text="three", start=1.2, end=1.5),
    )
    lettering = lettered([Caption(words, 0.5, 1.5)], style, frames=60)
    assert lettering.starts == [0, 15, 28, 36, 45]  # 0.91 s is between frames 27 and 28
    before, *lit, after = lettering.pictures
    assert not before.any()
    assert not after.any()
    lefts = [where(picture, colour)[0] for picture in lit]
    assert lefts == sorted(set(lefts))


def test_the_lit_word_goes_to_the_left_in_hebrew() -> None:
    lettering = lettered([one("שלום עולם טוב")])
    lefts = [where(picture, _WARM)[0] for picture in lettering.pictures[:3]]
    assert lefts == sorted(set(lefts), reverse=True)


def test_the_clean_style_has_one_picture_a_caption() -> None:
    captions = captions_of(spoken("Watch what changes. Morning and evening."))
    assert len(lettered(captions, "clean").pictures) == len(captions) + 1  # and a blank one after


def test_a_stretch_cut_out_of_a_caption_begins_with_the_word_that_is_spoken() -> None:
    whole = lettered([one("one two three")])
    later = lettered([one("one two three").moved(-0.4)], frames=5)
    assert later.starts == [0]
    assert (later.left, later.top) == (whole.left, whole.top)
    assert np.array_equal(later.pictures[0], whole.pictures[1])


def test_nothing_to_draw_is_none() -> None:
    assert letter([], 30, _TALL, "highlight", "tiktok") is None
    assert letter([one("late").moved(2.0)], 30, _TALL, "highlight", "tiktok") is None
    assert letter([one("\u200b")], 30, _TALL, "highlight", "tiktok") is None


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("style", _STYLES)
def test_nothing_is_drawn_outside_the_safe_area(style: CaptionStyle, size: tuple[int, int]) -> None:
    texts = ["Did you know that octopuses", "Extraordinarily 😺 wide ÉÅgjpq", "日本の桜はとても美しい花です", "W" * 60]
    for platform in _PLATFORMS:
        left, top, right, bottom = safe_box(size, platform)
        for text in texts:
            lettering = letter([one(text)], 300, size, style, platform)
            assert lettering
            assert not any(side % 2 for side in (lettering.left, lettering.top, lettering.width, lettering.height))
            drawn = np.max([picture[..., 3] for picture in lettering.pictures], axis=0)
            rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
            assert lettering.left + columns[0] >= left
            assert lettering.left + columns[-1] + 1 <= right
            assert lettering.top + rows[0] >= top
            assert lettering.top + rows[-1] + 1 <= bottom
            assert abs(2 * lettering.left + columns[0] + columns[-1] + 1 - size[0]) < 0.03 * size[0]  # in the middle


def test_the_safe_area_is_the_platforms_where_it_draws_over_the_video() -> None:
    for platform in _PLATFORMS:
        assert safe_box(_TALL, platform)[3] == 1920 * (1 - PRESETS[platform].safe.bottom)
    assert safe_box((1920, 1080), "youtube")[3] == pytest.approx(1080 * 0.90)
    assert safe_box((1080, 1080), "reels")[3] == pytest.approx(1080 * 0.91)
    assert safe_box((1080, 1350), "tiktok")[3] == pytest.approx(1350 * 0.91)


@pytest.mark.parametrize("text", [r"{\fs200}big", "{\\c&H0000FF&}", "%{n}", "a\\Nb", "'; drop", "50%", "<b>x</b>"])
def test_a_users_text_is_drawn_as_text(text: str) -> None:
    (picture, *_) = lettered([one(text)], "clean").pictures
    left, _, right, _ = where(picture, _WHITE)
    assert right - left == pytest.approx(typesetting.width(text, round(1080 * 0.055)), abs=12)


def test_a_line_break_within_a_word_is_a_space() -> None:
    broken, spaced = (Caption((Word(text=text, start=0, end=1),), 0, 1) for text in ("a\nb", "a b"))
    assert np.array_equal(lettered([broken]).pictures[0], lettered([spaced]).pictures[0])


def test_a_short_caption_and_one_with_descenders_stand_on_the_same_line() -> None:
    plain, low = (lettered([one(text)], "clean") for text in ("xxx", "xgx"))
    feet = [found.top + where(found.pictures[0][:, : found.width // 3], _WHITE)[3] for found in (plain, low)]
    assert feet[0] == feet[1]


def test_the_key_changes_with_what_is_drawn_and_with_nothing_else() -> None:
    captions = [one("one two three")]

    def key(captions: list[Caption], style: CaptionStyle = "highlight", size: tuple[int, int] = _TALL) -> object:
        return lettering_key(captions, 300, size, style, "tiktok")

    assert key(captions) == key([one("one two three")])
    # Less than a frame earlier, on the same frames: the same pictures.
    assert key(captions) == key([one("one two three").moved(-0.01)])
    others = [
        key([one("one two four")]),
        key([one("one two three").moved(0.1)]),
        key(captions, "pill"),
        key(captions, size=(1080, 1080)),
        lettering_key(captions, 300, _TALL, "highlight", "reels"),
    ]
    assert key(captions) not in others
    assert key([]) is None


def test_half_a_minute_is_lettered_quickly() -> None:
    text = "Did you know that octopuses have three hearts? Two of them pump blood to the gills. "
    captions = captions_of(spoken(text * 6))
    lettered(captions[:1])
    for style in _STYLES:
        began = time.process_time()
        found = lettered(captions, style, frames=900)
        assert time.process_time() - began < 2.5
        assert len(found.pictures) >= (25 if style == "clean" else 90)
