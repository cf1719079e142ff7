"""Captions: grouping, timing, and what a user's text may not do to them."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from ytray.errors import PermanentError
from ytray.studio.model import Word
from ytray.studio.providers import Spoken, speaker
from ytray.studio.render.captions import FASTEST, LONGEST_LINE, captions_of, to_ass, to_srt
from ytray.studio.render.fonts import check_drawable


def spoken(text: str, seconds_a_word: float = 0.3) -> list[Word]:
    return [
        Word(text=word, start=place * seconds_a_word, end=(place + 1) * seconds_a_word)
        for place, word in enumerate(text.split())
    ]


def dialogue(text: str) -> list[str]:
    ass = to_ass(captions_of(spoken(text)), 1080, 1920)
    return [line for line in ass.splitlines() if line.startswith("Dialogue:")]


def test_captions_hold_every_word_once_and_in_order() -> None:
    words = spoken(
        "Be patient with it. Good answers come the way waves do, one after another, and never before. So wait!"
    )
    captions = captions_of(words)
    assert [word for caption in captions for word in caption.words] == words


def test_captions_of_real_speech_can_be_read_while_they_are_spoken(tmp_path: Path) -> None:
    text = (
        "Watch what changes. Morning and evening, young and old, then and now: a change is a clue. Be patient with it."
    )
    told: Spoken = speaker().speak(text, "en", tmp_path / "s.wav")
    captions = captions_of(told.words)
    for caption in captions:
        assert len(caption.text) <= LONGEST_LINE
        assert len(caption.text) / (caption.end - caption.start) <= FASTEST
        assert caption.start == caption.words[0].start
        assert caption.end >= caption.words[-1].end
    assert all(before.end <= after.start for before, after in pairwise(captions))


def test_a_sentence_ends_its_caption_and_a_pause_does_too() -> None:
    words = [*spoken("Stop. Now go"), Word(text="on", start=2.5, end=2.8)]
    assert [caption.text for caption in captions_of(words)] == ["Stop.", "Now go", "on"]


def test_the_last_word_of_a_sentence_does_not_flash_by_alone() -> None:
    captions = captions_of(spoken("Start with the things you already know."))
    assert [caption.text for caption in captions] == ["Start with the things you", "already know."]


def test_a_short_caption_stays_readable_as_long_as_nothing_follows() -> None:
    (caption,) = captions_of([Word(text="extraordinarily", start=1.0, end=1.1)])
    assert len(caption.text) / (caption.end - caption.start) <= FASTEST


def test_each_word_is_lit_while_it_is_spoken() -> None:
    lines = dialogue("one two three")
    assert len(lines) == 3
    lit = [re.findall(r"\{\\c&H\w+&\}(\w+)\{\\c\}", line) for line in lines]
    assert lit == [["one"], ["two"], ["three"]]
    assert [line.split(",")[1:3] for line in lines[:2]] == [["0:00:00.00", "0:00:00.30"], ["0:00:00.30", "0:00:00.60"]]


@pytest.mark.parametrize(
    "text",
    [r"{\fs200}big", r"a\Nb", r"c:\hidden", "{}", "\\", "a,b,,c", '"quoted"', "it's", "50%", "Dialogue: 0,0:00:00.00"],
)
def test_a_users_text_stays_text_in_the_caption_script(text: str) -> None:
    for line in dialogue(text):
        shown = line.split(",", 9)[9]
        own = re.sub(r"\{\\c(?:&H\w+&)?\}", "", shown)  # our colour codes
        assert not re.search(r"(?<!\\)[{}]", own)
        assert not re.search(r"\\[Nnh]", own)
        assert own.replace("\u2060", "").replace("\\{", "{").replace("\\}", "}") == " ".join(text.split())


def test_a_line_break_in_a_word_starts_no_new_entry() -> None:
    ass = to_ass(captions_of([Word(text="a\nDialogue: b", start=0, end=1)]), 1080, 1920)
    assert ass.count("\nDialogue:") == 1


def test_srt_is_numbered_and_timed() -> None:
    assert to_srt(captions_of([Word(text="Hi.", start=3599.9995, end=3661.25)])).splitlines() == [
        "1",
        "01:00:00,000 --> 01:01:01,250",
        "Hi.",
    ]


@pytest.mark.parametrize(("text", "named"), [("日本の桜", r"日 \(U\+65E5\)"), ("cats 😺", r"U\+1F63A")])
def test_a_text_that_the_font_cannot_draw_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(PermanentError, match=named):
        check_drawable(text)


def test_the_font_draws_the_latin_of_europe() -> None:
    check_drawable("Größe, déjà-vu, ¿señor?, żółć, Île – “so” … €")
