"""Times of words in an edited timeline: refused by place, or put in order."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ytray.errors import PermanentError
from ytray.studio.model import SceneMedia, Speech, Word
from ytray.studio.render.text.captions import captions_of_timeline, to_srt
from ytray.studio.render.timeline import Look, Timeline, TimelineScene, timeline_of

INSTANTS = st.sampled_from([0.0, 0.0002, 0.5, 1.0, 1.4999, 1.5, 2.0]) | st.floats(0, 10)


def scene(*times: tuple[float, float]) -> TimelineScene:
    words = [Word(text=f"word{place}", start=start, end=end) for place, (start, end) in enumerate(times, 1)]
    return TimelineScene(picture="p.png", seconds=12, words=words)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ((0.5, math.nan), "word 2 .'word2'. has a time that is no number"),
        ((-math.inf, 1.0), "word 2 .'word2'. has a time that is no number"),
        ((0.5, math.inf), "word 2 .'word2'. has a time that is no number"),
        ((-0.2, 1.0), "word 2 .'word2'. begins before its scene, at -0.2 s"),
        ((2.0, 1.0), "word 2 .'word2'. ends at 1 s, before it begins at 2 s"),
    ],
)
def test_a_time_that_cannot_be_is_refused_by_its_place(times: tuple[float, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        scene((0, 0.5), times)


@pytest.mark.parametrize(
    ("text", "told"),
    [("a" * 1001, "is no word: it has 1,001 characters"), ("a\0b", "has a control character, U\\+0000")],
)
def test_what_is_no_word_is_refused_by_its_place(text: str, told: str) -> None:
    words = [Word(text="fine", start=0, end=1), Word(text=text, start=1, end=2)]
    with pytest.raises(ValueError, match=f"word 2 .*{told}"):
        TimelineScene(picture="p.png", seconds=12, words=words)


def test_more_words_than_can_be_said_are_refused_in_an_instant() -> None:
    words = [Word(text="a", start=0, end=1)] * 50_000
    started = time.monotonic()
    with pytest.raises(ValueError, match="50,000 words in 12 s are more than anybody can say or read"):
        TimelineScene(picture="p.png", seconds=12, words=words)
    assert time.monotonic() - started < 10


def test_words_without_a_sign_are_left_out() -> None:
    words = [Word(text=text, start=0, end=1) for text in ("", "purr", " ")]
    assert [word.text for word in TimelineScene(picture="p.png", seconds=12, words=words).words] == ["purr"]


def test_a_narration_with_such_times_is_refused_by_its_scene() -> None:
    words = [Word(text="purr", start=math.nan, end=1)]
    speech = Speech(uri="u", seconds=1, words=words, voice="v", provider="p")
    with pytest.raises(PermanentError, match=r"scene 1: .*word 1"):
        timeline_of([SceneMedia(picture="p.png", speech=speech)], Look())


def test_words_out_of_order_are_put_in_order() -> None:
    assert [word.text for word in scene((1, 1.5), (0, 0.5)).words] == ["word2", "word1"]


def test_words_at_one_instant_share_the_time_to_the_next() -> None:
    words = scene((0, 0), (0, 0), (0, 0), (0.9, 1.2)).words
    assert [round(word.start, 3) for word in words] == [0, 0.3, 0.6, 0.9]
    assert words[-1] == Word(text="word4", start=0.9, end=1.2)


@given(st.lists(st.tuples(INSTANTS, st.just(0.0) | st.floats(0, 3)), min_size=1, max_size=30))
def test_every_caption_of_any_times_is_seen_for_a_while(given_times: list[tuple[float, float]]) -> None:
    made = scene(*((start, start + lasts) for start, lasts in given_times))
    assert sorted(word.text for word in made.words) == sorted(f"word{n}" for n in range(1, len(given_times) + 1))
    assert all(word.end > word.start >= 0 for word in made.words)
    assert all(before.start <= after.start for before, after in pairwise(made.words))
    captions = captions_of_timeline(Timeline(width=180, height=320, scenes=[made]))
    stamps = [line.split(" --> ") for line in to_srt(captions).splitlines() if " --> " in line]
    assert all(start < end for start, end in stamps)
