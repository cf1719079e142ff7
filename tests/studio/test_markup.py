"""Texts with markup are read as what they show; texts without are left to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ytray.studio.markup import plain_text
from ytray.studio.providers.offline_speech import OfflineSpeech
from ytray.studio.providers.offline_text import OfflineText

MARKED = {
    "## Why cats purr\n\n- **They are happy.**\n- They *heal*. See [more](https://x.org/?y=z).": (
        "Why cats purr.\n\nThey are happy.\n\nThey heal. See more."
    ),
    "Some **bold**, ~~old~~, `coded` words": "Some bold, old, coded words",
    "<speak>Hello <break time='1s'/><emphasis>you</emphasis></speak>": "Hello you",
    "<p>One.</p><p class='x'>Two</p>": "One.\n\nTwo.",
    "<h1>Title</h1><ul><li>One</li><li>Two</li></ul>": "Title.\n\nOne.\n\nTwo.",
    "<speak><s>One.</s><s>Two.</s></speak>": "One.\n\nTwo.",
    "<say-as interpret-as='date'>1 May</say-as> <phoneme ph='x'>tomato</phoneme>": "1 May tomato",
    '<prosody rate="slow">never closed': "never closed",
    "<img src='c.jpg' alt='a cat'> sleeps<!-- unseen -->": "a cat sleeps",
    "<style>p {}</style>Seen<script>x()</script>": "Seen",
    "Fish &amp; chips &#8211; 5 &lt; 6": "Fish & chips – 5 < 6",
    "| Cat | Age |\n|---|---|\n| Tom | 3 |": "Cat, Age.\n\nTom, 3.",
    "- [x] Feed\n- [ ] Brush": "Feed.\n\nBrush.",
    "Cats purr[^1].\n\n[^1]: Really.": "Cats purr.",
    "---\ntitle: Cats\n---\n\nThey purr": "They purr",
    "Cats\n====\n\nThey purr": "Cats.\n\nThey purr.",
    "• One\n• Two": "One.\n\nTwo.",
    "***both* nested** and [**bold** link](https://x.org)": "both nested and bold link",
    "```python\nprint(1)\n```": "print(1)",
    "1. First\n2. Second": "First.\n\nSecond.",
    "![a cat](cat.jpg) sleeps": "a cat sleeps",
}


@pytest.mark.parametrize(("marked", "shown"), MARKED.items())
def test_markup_is_read_as_the_text_that_it_shows(marked: str, shown: str) -> None:
    assert plain_text(marked) == shown


@pytest.mark.parametrize(
    "text",
    [
        "1. FC Köln",
        "C# or C++?",
        "List<String> is a type",
        "the <b> tag",
        "2*3*4",
        "5 < 6 > 3",
        "#1 reason",
        "a | b",
        "AT&T; R&D",
    ],
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
