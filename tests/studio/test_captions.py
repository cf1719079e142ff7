"""Captions: how words are grouped and timed, and the files that they are written to."""

from __future__ import annotations

import html
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ytray.studio.model import Word
from ytray.studio.providers import speaker
from ytray.studio.providers.protocols import Spoken
from ytray.studio.render.ffmpeg import binary
from ytray.studio.render.text.captions import FASTEST, LONGEST_LINE, captions_of, to_srt, to_vtt
from ytray.studio.render.text.characters import columns

_JAPANESE = "桜は日本で最も愛されている花です。春になると、多くの人々が公園に集まり、花見を楽しみます。"
_CHINESE = "猫咪为什么会发出咕噜声？科学家认为，这是因为喉部肌肉快速振动，帮助它们放松并且治愈伤口。"
_THAI = "แมวส่งเสียงครางเพราะกล้ามเนื้อในลำคอสั่นสะเทือนอย่างรวดเร็ว"


def spoken(text: str, seconds_a_word: float = 0.3) -> list[Word]:
    return [
        Word(text=word, start=place * seconds_a_word, end=(place + 1) * seconds_a_word)
        for place, word in enumerate(text.split())
    ]


def texts(text: str) -> list[str]:
    return [caption.text for caption in captions_of(spoken(text))]


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


_letters = st.text("abcdefghinoprstuwyäéñß", min_size=1, max_size=60)
_marks = st.sampled_from(["", "", "", ",", ".", "?", " –", ":"])
_texts = st.lists(st.builds("{}{}".format, _letters, _marks), min_size=1, max_size=40)


@settings(deadline=None)
@given(_texts, st.floats(0.05, 0.8))
def test_any_text_is_kept_whole_in_short_lines_that_follow_one_another(words: list[str], seconds: float) -> None:
    captions = captions_of(spoken(" ".join(words), seconds))
    assert "".join(caption.text for caption in captions).replace(" ", "") == "".join(words).replace(" ", "")
    for caption in captions:
        assert len(caption.text) <= LONGEST_LINE
        assert len(caption.words) == 1 or caption.words[-1].end - caption.words[0].start <= 2.8
    assert all(before.end <= after.start for before, after in pairwise(captions))


@settings(deadline=None)
@given(_texts)
def test_at_the_pace_of_speech_nothing_has_to_be_read_faster_than_twenty_characters_a_second(words: list[str]) -> None:
    paced: list[Word] = []
    at = 0.0
    for text in " ".join(words).split():
        end = at + (len(text) + 1) / (FASTEST - 4)
        paced.append(Word(text=text, start=at, end=end))
        at = end
    for caption in captions_of(paced):
        assert len(caption.text) / (caption.end - caption.start) <= FASTEST


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # A sentence or a clause ends its caption.
        ("Be patient with it. Good answers come.", ["Be patient with it.", "Good answers come."]),
        ("Morning and evening, young and old, then.", ["Morning and evening,", "young and old, then."]),
        # What belongs to the following words stays with them.
        ("Start with the things you already know.", ["Start with the things", "you already know."]),
        ("The third keeps it circulating through the rest", ["The third keeps it circulating", "through the rest"]),
        ("Les chats ronronnent pour se calmer,", ["Les chats ronronnent", "pour se calmer,"]),
        ("Die Katze schnurrt, weil sie sich wohlfühlt", ["Die Katze schnurrt,", "weil sie sich wohlfühlt"]),
        # Neither a short word nor a short sentence flashes by alone, and a title ends no sentence.
        ("Stop. Now go home", ["Stop. Now go home"]),
        ("We asked Dr. Miller about it.", ["We asked Dr. Miller about it."]),
    ],
)
def test_captions_are_phrases(text: str, wanted: list[str]) -> None:
    assert texts(text) == wanted


def test_a_pause_ends_a_caption() -> None:
    words = [*spoken("Now go"), Word(text="on", start=2.5, end=2.8)]
    assert [caption.text for caption in captions_of(words)] == ["Now go", "on"]


def test_a_sentence_of_one_word_stands_alone_when_there_is_time_to_read_it() -> None:
    words = [Word(text="Stop.", start=0, end=0.7), Word(text="Now", start=0.7, end=1), Word(text="go", start=1, end=2)]
    assert [caption.text for caption in captions_of(words)] == ["Stop.", "Now go"]


def test_a_short_caption_stays_readable_as_long_as_nothing_follows() -> None:
    (caption,) = captions_of([Word(text="extraordinarily", start=1.0, end=1.1)])
    assert len(caption.text) / (caption.end - caption.start) <= FASTEST
    (cut,) = captions_of([Word(text="extraordinarily", start=1.0, end=1.1)], until=1.2)
    assert cut.end == 1.2


@pytest.mark.parametrize("text", [_JAPANESE, _CHINESE, _THAI, _THAI.join(["“", "”"])])
def test_a_script_without_spaces_is_divided_and_its_text_kept(text: str) -> None:
    captions = captions_of([Word(text=text, start=1.0, end=10.0)])
    assert "".join(caption.text for caption in captions) == text
    assert all(columns(caption.text) <= 28 for caption in captions)
    words = [word for caption in captions for word in caption.words]
    assert (words[0].start, words[-1].end) == (1.0, 10.0)
    assert all(before.end == after.start and before.start < before.end for before, after in pairwise(words))


def test_chinese_and_japanese_are_broken_at_their_punctuation() -> None:
    for text in (_CHINESE, _JAPANESE):
        captions = captions_of([Word(text=text, start=0, end=9)])
        assert not any(caption.text.startswith(tuple("。、，？ーっ")) for caption in captions)
        sentence_ends = [caption.text for caption in captions if set(caption.text[:-1]) & set("。？")]
        assert not sentence_ends
    assert [caption.text for caption in captions_of([Word(text=_CHINESE, start=0, end=9)])] == [
        "猫咪为什么会发出咕噜声？",
        "科学家认为，",
        "这是因为喉部肌肉快速振动，",
        "帮助它们放松并且治愈伤口。",
    ]


def test_no_space_is_added_between_chinese_words_and_none_is_lost_between_others() -> None:
    for written, wanted in (
        ("猫咪 喜欢 睡觉", "猫咪喜欢睡觉"),
        ("我 爱 Python 和 猫", "我爱 Python 和猫"),
        ("안녕 세상", "안녕 세상"),
    ):
        assert texts(written) == [wanted]
    assert texts("สวัสดี ชาวโลก") == ["สวัสดี ชาวโลก"]


def test_a_word_longer_than_a_line_is_divided() -> None:
    address = "https://example.org/a/very/long/way/to/the/page/that/nobody/reads.html"
    captions = captions_of([Word(text=address, start=0, end=4)])
    assert "".join(caption.text for caption in captions) == address
    assert all(len(caption.text) <= LONGEST_LINE for caption in captions)


def test_srt_is_numbered_and_timed() -> None:
    assert to_srt(captions_of([Word(text="Hi.", start=3599.9995, end=3661.25)])).splitlines() == [
        "1",
        "01:00:00,000 --> 01:01:01,250",
        "Hi.",
    ]


def test_vtt_keeps_signs_as_text() -> None:
    assert to_vtt(captions_of([Word(text="<b>&", start=0, end=1)])).splitlines() == [
        "WEBVTT",
        "",
        "00:00:00.000 --> 00:00:01.000",
        "&lt;b&gt;&amp;",
    ]


def test_a_line_break_in_a_word_starts_no_new_caption_in_a_file() -> None:
    captions = captions_of([Word(text="a\n\n2\n00:00:00,000 --> 00:00:09,000\nb", start=0, end=1)])
    assert to_srt(captions).splitlines()[2:] == ["a 2 00:00:00,000 --\u2060> 00:00:09,000 b"]
    assert len(to_vtt(captions).splitlines()) == 4


@pytest.mark.parametrize(
    "text",
    ["Use List<String> here", "the <b> tag, </i> too", r"Type {\an8} or {y:i} there", "1 < 2", "a --> b", "&lt; is <"],
)
def test_players_show_all_that_an_srt_file_holds(text: str, tmp_path: Path) -> None:
    words = [Word(text=word, start=place / 2, end=place / 2 + 0.4) for place, word in enumerate(text.split())]
    (tmp_path / "c.srt").write_text(to_srt(captions_of(words)), "utf-8")
    command = [binary(), "-v", "error", "-i", str(tmp_path / "c.srt"), "-c:s", "webvtt", "-f", "webvtt", "-"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line for line in shown.splitlines()[1:] if line and "-->" not in line]
    read = html.unescape(" ".join(lines)).replace("\u2060", "").replace("\\{", "{").replace("\\}", "}")
    assert read == text
