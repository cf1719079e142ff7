"""Captions that follow the voice: grouped from word times, drawn with the spoken word lit (ASS), or as SRT."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from ytray.studio.model import Word
from ytray.studio.render.fonts import CAPTION_FAMILY
from ytray.studio.render.timeline import Timeline

# The limits that a caption is held to, after common subtitling practice.
LONGEST_LINE = 42  # characters
FASTEST = 20.0  # characters a second

_VTT_NAMES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_VTT_SIGNS = re.compile("[&<>]")
_MOST_CHARACTERS = 30  # a caption on a phone is read at a glance
_LONGEST = 2.8  # seconds
_PAUSE = 0.35  # seconds without a word start a new caption
_LEAST_SECONDS = 0.5


@dataclass(frozen=True)
class Caption:
    """A few words that are shown together, from `start` to `end` seconds."""

    words: tuple[Word, ...]
    start: float
    end: float

    @property
    def text(self) -> str:
        """The caption as it is read."""
        return " ".join(word.text for word in self.words)


def captions_of(words: list[Word], until: float = float("inf")) -> list[Caption]:
    """Group words into captions: broken at sentence ends and pauses, short enough to read while they are spoken.

    None is shown after `until` seconds.
    """
    groups: list[list[Word]] = []
    for word in words:
        if groups and _belongs(groups[-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    _leave_no_word_alone(groups)
    captions: list[Caption] = []
    for place, group in enumerate(groups):
        following = groups[place + 1][0].start if place + 1 < len(groups) else until
        needed = max(_LEAST_SECONDS, len(" ".join(word.text for word in group)) / FASTEST)
        # It may stay on screen longer than it is spoken, but never into the next one.
        end = min(following, max(group[-1].end, group[0].start + needed))
        captions.append(Caption(tuple(group), group[0].start, end))
    return captions


def captions_of_timeline(timeline: Timeline) -> list[Caption]:
    """The captions of a whole video, with their times in it; none goes on into the next scene."""
    found: list[Caption] = []
    start = 0.0
    for scene in timeline.scenes:
        for caption in captions_of(scene.words, until=scene.length):
            words = tuple(Word(text=w.text, start=w.start + start, end=w.end + start) for w in caption.words)
            found.append(Caption(words, caption.start + start, caption.end + start))
        start += scene.length
    return found


def _leave_no_word_alone(groups: list[list[Word]]) -> None:
    """Give the last word of a sentence company from the caption before, which would flash by alone."""
    for before, group in pairwise(groups):
        if len(group) == 1 and len(before) > 2 and _belongs([before[-1]], group[0]):
            group.insert(0, before.pop())


def _belongs(group: list[Word], word: Word) -> bool:
    text = " ".join(known.text for known in group)
    return (
        len(text) + 1 + len(word.text) <= _MOST_CHARACTERS
        and word.end - group[0].start <= _LONGEST
        and word.start - group[-1].end < _PAUSE
        and not text.endswith((".", "!", "?", "…"))
    )


def to_srt(captions: list[Caption]) -> str:
    """The captions as an SRT file."""
    return "\n".join(
        f"{number}\n{_clock(c.start, ',', 3)} --> {_clock(c.end, ',', 3)}\n{c.text}\n"
        for number, c in enumerate(captions, start=1)
    )


def to_vtt(captions: list[Caption]) -> str:
    """The captions as a WebVTT file."""
    shown = (_VTT_SIGNS.sub(lambda sign: _VTT_NAMES[sign.group()], caption.text) for caption in captions)
    return "WEBVTT\n\n" + "\n".join(
        f"{_clock(c.start, '.', 3)} --> {_clock(c.end, '.', 3)}\n{text}\n"
        for c, text in zip(captions, shown, strict=True)
    )


def to_ass(captions: list[Caption], width: int, height: int) -> str:
    """The captions as an ASS script for a video of that size: large, outlined, the word being spoken in colour.

    They stand in the lower third, above what the platforms draw over the bottom of a video.
    """
    shorter = min(width, height)
    size = round(shorter * (0.082 if height >= width else 0.066))
    margin = round(height * (0.245 if height > width else 0.09))
    style = (
        f"Style: Caption,{CAPTION_FAMILY},{size},&H00FFFFFF,&H00FFFFFF,&H00201408,&H96000000,1,0,0,0,100,100,0,0,1,"
        f"{size * 0.075:.1f},{size * 0.03:.1f},2,{round(width * 0.08)},{round(width * 0.08)},{margin},1"
    )
    lines = [
        "[Script Info]",
        "ScriptType: v4.00+",
        f"PlayResX: {width}",
        f"PlayResY: {height}",
        "WrapStyle: 0",
        "ScaledBorderAndShadow: yes",
        "",
        "[V4+ Styles]",
        "Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, "
        "Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, "
        "MarginR, MarginV, Encoding",
        style,
        "",
        "[Events]",
        "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text",
    ]
    for caption in captions:
        for place, word in enumerate(caption.words):
            start = caption.start if place == 0 else word.start
            end = caption.end if place == len(caption.words) - 1 else caption.words[place + 1].start
            if end > start:
                text = " ".join(_lit(w.text) if i == place else _escape(w.text) for i, w in enumerate(caption.words))
                lines.append(f"Dialogue: 0,{_clock(start, '.', 2)},{_clock(end, '.', 2)},Caption,,0,0,0,,{text}")
    return "\n".join(lines) + "\n"


def _lit(text: str) -> str:
    return r"{\c&H3CD7FF&}" + _escape(text) + r"{\c}"


def _escape(text: str) -> str:
    """Text that ASS shows as it is: braces would start an override, a backslash an escape."""
    return text.replace("\\", "\\\u2060").replace("{", "\\{").replace("}", "\\}").replace("\n", " ")


def _clock(seconds: float, point: str, digits: int) -> str:
    units = round(seconds * 10**digits)
    whole, rest = divmod(units, 10**digits)
    hours, minutes = divmod(whole // 60, 60)
    width = 2 if digits == 3 else 1
    return f"{hours:0{width}d}:{minutes:02d}:{whole % 60:02d}{point}{rest:0{digits}d}"
