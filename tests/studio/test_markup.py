"""Texts with markup are read as what they show; texts without are left to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ytray.errors import PermanentError
from ytray.studio.markup import plain_text
from ytray.studio.providers.offline_speech import OfflineSpeech
from ytray.studio.providers.offline_text import OfflineText
from ytray.studio.providers.reading import read
from ytray.studio.words import sentences_of

MARKED = {
    "## Why cats purr\n\n- **They are happy.**\n- They *heal*. See [more](https://x.org/?y=z).": (
        "Why cats purr.\n\nThey are happy.\n\nThey heal. See more."
    ),
    "Some **bold**, ~~old~~, `coded` words": "Some bold, old, coded words",
    "<speak>Hello <break time='1s'/><emphasis>you</emphasis></speak>": "Hello you",
    "<p>One.</p><p>Two.</p>": "One.Two.",
    "1. First\n2. Second": "First.\n\nSecond.",
    "![a cat](cat.jpg) sleeps": "a cat sleeps",
}


@pytest.mark.parametrize(("marked", "shown"), MARKED.items())
def test_markup_is_read_as_the_text_that_it_shows(marked: str, shown: str) -> None:
    assert plain_text(marked) == shown


@pytest.mark.parametrize(
    "text",
    ["1. FC Köln", "C# or C++?", "List<String> is a type", "the <b> tag", "2*3*4", "5 < 6 > 3", "#1 reason", "a | b"],
)
def test_signs_that_are_no_markup_stay(text: str) -> None:
    assert plain_text(text) == text


@given(st.text(alphabet=st.characters(categories=["L", "Zs", "Nd"], include_characters=".,!?'")))
def test_a_text_without_markup_is_left_to_the_letter(text: str) -> None:
    assert plain_text(text) == text


@given(st.text(alphabet="ab *_`#<>/[]()!-1.\n|~", max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    assert isinstance(plain_text(text), str)


def test_marks_are_neither_spoken_nor_in_titles(tmp_path: Path) -> None:
    script = OfflineText().script("## Why cats purr\n\n- **They are happy.**\n- They *heal*.", None, 20)
    assert not set("*#") & set(script.text + script.title)
    plain, marked = (OfflineSpeech().speak(text, "en", tmp_path / "s.wav") for text in ("Bold words", "**Bold** words"))
    assert (marked.seconds, marked.words) == (plain.seconds, plain.words)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Who was Dr. King? He was a pastor.", 2),
        ("The U.S. dollar is strong.", 1),
        ("J. R. R. Tolkien wrote it. Then he slept.", 2),
        ("Wer war Dr. Oetker? Ein Bäcker, z. B. von Kuchen.", 2),
        ("It ended. Nobody knew why!", 2),
    ],
)
def test_an_abbreviation_ends_no_sentence(text: str, sentences: int) -> None:
    assert len(sentences_of(text)) == sentences


@pytest.mark.parametrize(
    "prompt", ["Who was Dr. Martin Luther King?", "Wer war Dr. Oetker?", "Why is the U.S. so big?"]
)
def test_a_question_with_an_abbreviation_is_one_question_with_its_whole_title(prompt: str) -> None:
    assert read(prompt).kind == "question"
    assert OfflineText().script(prompt, None, 15).title == prompt


@pytest.mark.parametrize(
    ("prompt", "language"),
    [
        ("Perché i gatti fanno le fusa?", "Italian"),
        ("Por que os gatos ronronam?", "Portuguese"),
        ("Dlaczego koty mruczą?", "Polish"),
        ("Kediler neden mırlar?", "Turkish"),
        ("Tại sao mèo kêu gừ gừ?", "Vietnamese"),
        ("Waarom spinnen katten?", "Dutch"),
        ("Varför spinner katter?", "Swedish"),
        ("Proč kočky předou?", "Czech"),
    ],
)
def test_a_language_that_the_writer_does_not_know_is_refused_by_name(prompt: str, language: str) -> None:
    with pytest.raises(PermanentError, match=f"looks like {language}"):
        OfflineText().script(prompt, None, 15)


@pytest.mark.parametrize(
    "prompt", ["AI", "Sushi e sake", "Mona Lisa", "Pizza Margherita", "¿Por qué ronronean los gatos?"]
)
def test_what_only_sounds_foreign_is_a_prompt(prompt: str) -> None:
    assert OfflineText().script(prompt, None, 15).scenes


@pytest.mark.parametrize(
    ("language", "text"), [("it", "Perché i gatti"), ("pl", "Dlaczego koty"), ("ru", "Почему кошки")]
)
def test_a_voice_of_its_own_speaks_each_language(language: str, text: str, tmp_path: Path) -> None:
    spoken = OfflineSpeech().speak(text, language, tmp_path / "s.wav")
    assert spoken.voice.startswith(language)
    assert [word.text for word in spoken.words] == text.split()


def test_a_language_without_a_voice_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="no voice for the language 'tlh'"):
        OfflineSpeech().speak("nuqneH", "tlh", tmp_path / "s.wav")
