"""Fonts: which one draws what, and what none can draw."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ytray.errors import PermanentError
from ytray.studio.render.text import bidi
from ytray.studio.render.text.characters import Cjk, cleaned, clusters, tongue_of
from ytray.studio.render.text.fonts import BOLD, check_drawable, face_of, fonts_of

_FAMILY = "👨\u200d👩\u200d👧"


def family(cluster: str, cjk: Cjk = "SC") -> str:
    face = face_of(cluster, cjk)
    assert face, f"nothing draws {cluster}: install fonts-noto-core, fonts-noto-cjk and fonts-noto-color-emoji"
    return face.family


def test_the_latin_greek_and_cyrillic_of_europe_are_drawn_by_roboto_alone() -> None:
    text = "Größe, déjà-vu, ¿señor?, żółć, Île – “so” … € Καλημέρα Привет"
    check_drawable(text)
    assert [name for name, _ in fonts_of(text)] == [f"{BOLD.name}#0"]


@pytest.mark.parametrize(
    ("cluster", "wanted"),
    [
        ("ש", "Noto Sans Hebrew"),
        ("ع", "Noto Sans Arabic"),
        ("क", "Noto Sans Devanagari"),
        ("ก", "Noto Sans Thai"),
        ("ა", "Noto Sans Georgian"),
        ("😺", "Noto Color Emoji"),
        ("❤\ufe0f", "Noto Color Emoji"),
        ("1\ufe0f\u20e3", "Noto Color Emoji"),
        ("1", "Roboto"),
        ("©", "Roboto"),
        ("©\ufe0f", "Noto Color Emoji"),
    ],
)
def test_each_script_has_the_font_that_is_named_after_it(cluster: str, wanted: str) -> None:
    assert family(cluster) == wanted


@pytest.mark.parametrize(("text", "form"), [("日本の桜", "JP"), ("漢字를 배우다", "KR"), ("直接", "SC")])
def test_chinese_characters_have_the_forms_of_the_language_around_them(text: str, form: str) -> None:
    assert family(text[0], tongue_of(text).cjk) == f"Noto Sans CJK {form}"


def test_bold_is_preferred() -> None:
    for cluster in "שعकก日":
        face = face_of(cluster, "JP")
        assert face
        assert face.weight == 700


@pytest.mark.parametrize(
    "text",
    [
        _FAMILY,
        "👍🏽",
        "🇩🇪",
        "1\ufe0f\u20e3",
        "❤\ufe0f",
        "g\u0303",
        "नि",
        "ที่",
        "🏴\U000e0067\U000e0062\U000e0065\U000e007f",
    ],
)
def test_what_belongs_together_is_one_cluster_in_one_font(text: str) -> None:
    assert list(clusters(text)) == [text]
    check_drawable(text)


def test_neighbours_are_clusters_of_their_own() -> None:
    assert list(clusters(f"a{_FAMILY}🇩🇪🇫🇷b")) == ["a", _FAMILY, "🇩🇪", "🇫🇷", "b"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("icon \ue000", r"\(U\+E000\)"),
        ("\U0010fffd", r"\(U\+10FFFD\)"),
        ("half \ud83d", r"\(U\+D83D\)"),
    ],
)
def test_a_text_that_no_font_can_draw_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(PermanentError, match=named) as refused:
        check_drawable(text)
    assert "captions=False" in str(refused.value)


def test_what_a_missing_package_would_draw_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ytray.studio.render.text.fonts._installed", tuple)
    face_of.cache_clear()
    try:
        for text, package in (("日", "fonts-noto-cjk"), ("क", "fonts-noto-core"), ("😺", "fonts-noto-color-emoji")):
            with pytest.raises(PermanentError, match=rf"{text} \(U\+\w+\).*{package}"):
                check_drawable(text)
    finally:
        face_of.cache_clear()


def test_controls_and_joiners_are_not_missing() -> None:
    check_drawable("a\u200db\u200ec\u00ad\ufeffd\n\te\x07")
    assert cleaned("a\n\t b\x07\u202ec") == "a bc"


def test_the_fonts_of_a_text_tell_its_files_apart() -> None:
    names, digests = zip(*fonts_of("a 日 😺"), strict=True)
    assert names == ("NotoColorEmoji.ttf#0", "NotoSansCJK-Bold.ttc#2", f"{BOLD.name}#0")
    assert len(set(digests)) == 3


@settings(deadline=None)
@given(st.text("ab שאعب12١٢.,:+-%$()[] !", min_size=1, max_size=12), st.booleans())
def test_the_direction_of_every_character_is_what_fribidi_finds(text: str, right_to_left: bool) -> None:
    fribidi = ctypes.CDLL("libfribidi.so.0")
    number = len(text)
    characters = (ctypes.c_uint32 * number)(*map(ord, text))
    kinds, brackets, found = (ctypes.c_uint32 * number)(), (ctypes.c_uint32 * number)(), (ctypes.c_int8 * number)()
    fribidi.fribidi_get_bidi_types(characters, number, kinds)
    fribidi.fribidi_get_bracket_types(characters, number, kinds, brackets)
    base = ctypes.c_uint32(0x111 if right_to_left else 0x110)
    assert fribidi.fribidi_get_par_embedding_levels_ex(kinds, brackets, number, ctypes.byref(base), found)
    assert bidi.levels(text, right_to_left) == list(found)
