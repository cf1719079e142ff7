"""Captions that follow the voice: words grouped by phrases, and written as SRT and WebVTT."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from ytray.studio.model import Word
from ytray.studio.render.text.characters import Tongue, columns, is_east_asian, is_wide, tongue_of
from ytray.studio.render.text.phrases import PLAIN, SENTENCE, WITHIN, break_cost, ends_clause, ends_sentence, pieces_of
from ytray.studio.render.timeline import Timeline

# The limits that a caption is held to, after common subtitling practice.
LONGEST_LINE = 42  # characters
FASTEST = 20.0  # characters a second

_VTT_NAMES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_VTT_SIGNS = re.compile("[&<>]")
# What players take for markup in an SRT file, which knows no way to say that it is none: tags, overrides in braces, the
# line breaks of ASS, names of signs, and the arrow of a line of times.
_SRT_MARKUP = re.compile(r"[<{](?=\S)|\\(?=[Nnh])|&(?=#?\w+;)|--(?=>)")
_JOINER = "\u2060"  # has no width; after it, no player sees a tag
_LINE_BREAKS = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")
_MOST_COLUMNS = 30  # a caption on a phone is read at a glance
_MOST_WIDE_COLUMNS = 28  # with wide characters: fourteen of them
_LONGEST = 2.8  # seconds
_PAUSE = 0.35  # seconds without a word start a new caption
_LEAST_SECONDS = 0.5
# What else makes a caption worse, against the costs of breaks in phrases.py; by trial.
_HOLDS_SENTENCE_END, _HOLDS_CLAUSE_END = 11.0, 0.7
_SHORT_WORD = 8  # columns
_ALONE, _ALONE_AS_SENTENCE = 7.0, 3.5
_EMPTY = 2.0  # as its free room, squared, grows to the whole
_HURRIED = 4.0  # as it has to be read twice as fast as it can be


@dataclass(frozen=True)
class Caption:
    """A few words that are shown together, from `start` to `end` seconds.

    `glued` are the places of words that continue the one before without a space; `tongue` is that of the whole speech,
    which a few words do not always tell.
    """

    words: tuple[Word, ...]
    start: float
    end: float
    glued: frozenset[int] = frozenset()
    tongue: Tongue | None = None

    @property
    def parts(self) -> list[str]:
        """Each word as it stands in the text, with the space before it where there is one."""
        return [
            word.text if not place or place in self.glued else _gap(self.words[place - 1], word) + word.text
            for place, word in enumerate(self.words)
        ]

    @property
    def text(self) -> str:
        """The caption as it is read."""
        return "".join(self.parts)

    def moved(self, seconds: float) -> Caption:
        """The same so many seconds later."""
        words = tuple(Word(text=w.text, start=w.start + seconds, end=w.end + seconds) for w in self.words)
        return replace(self, words=words, start=self.start + seconds, end=self.end + seconds)


def captions_of(words: list[Word], until: float = float("inf")) -> list[Caption]:
    """Group words into captions: broken where phrases end and at pauses, short enough to read while they are spoken.

    Long runs of scripts without spaces are divided, their times by their length. None is shown after `until` seconds.
    """
    pieces: list[Word] = []
    glued: set[int] = set()
    for word in words:
        divided = pieces_of(word, LONGEST_LINE)
        glued.update(range(len(pieces) + 1, len(pieces) + len(divided)))
        pieces += divided
    tongue = tongue_of("".join(word.text for word in words))
    captions: list[Caption] = []
    bounds = _bounds(pieces, glued, until)
    for begin, end in pairwise(bounds):
        group = tuple(pieces[begin:end])
        own = frozenset(place - begin for place in glued if begin < place < end)
        caption = Caption(group, group[0].start, group[-1].end, own, tongue)
        following = pieces[end].start if end < len(pieces) else until
        needed = max(_LEAST_SECONDS, columns(caption.text) / FASTEST)
        # It may stay on screen longer than it is spoken, but never into the next one.
        captions.append(replace(caption, end=min(following, until, max(caption.end, caption.start + needed))))
    return [caption for caption in captions if caption.start < until]


def captions_of_timeline(timeline: Timeline) -> list[Caption]:
    """The captions of a whole video, with their times in it; none goes on into the next scene."""
    found: list[Caption] = []
    for start, scene in zip(timeline.starts(), timeline.scenes, strict=True):
        found += [caption.moved(start) for caption in captions_of(scene.words, until=scene.length)]
    return found


def to_srt(captions: list[Caption]) -> str:
    """The captions as an SRT file."""
    return "\n".join(
        f"{number}\n{_clock(c.start, ',')} --> {_clock(c.end, ',')}\n{_unmarked(_in_one_line(c.text))}\n"
        for number, c in enumerate(captions, start=1)
    )


def to_vtt(captions: list[Caption]) -> str:
    """The captions as a WebVTT file."""
    shown = (_VTT_SIGNS.sub(lambda sign: _VTT_NAMES[sign.group()], _in_one_line(c.text)) for c in captions)
    return "WEBVTT\n\n" + "\n".join(
        f"{_clock(c.start, '.')} --> {_clock(c.end, '.')}\n{text}\n" for c, text in zip(captions, shown, strict=True)
    )


def _unmarked(text: str) -> str:
    return _SRT_MARKUP.sub(lambda sign: sign.group() + _JOINER, text)


def _gap(before: Word, after: Word) -> str:
    """What stands between two words: a space, but none between Chinese or Japanese ones."""
    return "" if is_east_asian(before.text[-1:] or " ") and is_east_asian(after.text[:1] or " ") else " "


def _bounds(pieces: list[Word], glued: set[int], until: float) -> list[int]:
    """Where captions begin, and the end: the cheapest way to part the whole speech."""
    gaps = [
        0 if not place or place in glued else len(_gap(pieces[place - 1], word)) for place, word in enumerate(pieces)
    ]
    ends = list(accumulate(columns(word.text) + gap for word, gap in zip(pieces, gaps, strict=True)))
    breaks = [_broken(pieces, glued, place) for place in range(1, len(pieces))] + [SENTENCE]
    costs, origins = [0.0], [0]
    for end in range(1, len(pieces) + 1):
        choices: list[tuple[float, int]] = []
        for begin in range(end - 1, -1, -1):
            group = pieces[begin:end]
            length = ends[end - 1] - ends[begin] + columns(pieces[begin].text)
            if choices and not _fits(group, length):
                break
            shown = (pieces[end].start if end < len(pieces) else until) - group[0].start
            choices.append((costs[begin] + breaks[end - 1] + _cost(group, length, shown), begin))
        cost, origin = min(choices)
        costs.append(cost)
        origins.append(origin)
    bounds = [len(pieces)]
    while bounds[-1]:
        bounds.append(origins[bounds[-1]])
    return bounds[::-1]


def _broken(pieces: list[Word], glued: set[int], place: int) -> float:
    """What it costs to break before a piece."""
    before, after = pieces[place - 1], pieces[place]
    if after.start - before.end >= _PAUSE:
        return SENTENCE
    cost = break_cost(before.text, after.text)
    return WITHIN if place in glued and cost >= PLAIN else cost


def _fits(group: list[Word], length: int) -> bool:
    wide = any(is_wide(char) for word in group for char in word.text)
    return (
        length <= (_MOST_WIDE_COLUMNS if wide else _MOST_COLUMNS)
        and group[-1].end - group[0].start <= _LONGEST
        and group[1].start - group[0].end < _PAUSE  # the later ones were looked at before
    )


def _cost(group: list[Word], length: int, shown: float) -> float:
    """How bad a caption of these words is by itself; `shown` is how long it can be seen, in seconds."""
    cost = PLAIN + _EMPTY * max(0.0, 1 - length / _MOST_COLUMNS) ** 2
    for word in group[:-1]:
        cost += _HOLDS_SENTENCE_END * ends_sentence(word.text) + _HOLDS_CLAUSE_END * ends_clause(word.text)
    if len(group) == 1 and length <= _SHORT_WORD:
        cost += _ALONE_AS_SENTENCE if ends_sentence(group[0].text) and shown >= _LEAST_SECONDS else _ALONE
    return cost + _HURRIED * min(1.0, max(0.0, length / max(shown, 0.01) / FASTEST - 1))


def _in_one_line(text: str) -> str:
    """The text without line breaks, which would end a caption in its file."""
    return _LINE_BREAKS.sub(" ", text)


def _clock(seconds: float, point: str) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours:02d}:{minutes:02d}:{whole % 60:02d}{point}{thousandths:03d}"
