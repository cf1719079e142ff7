"""A deterministic writer that needs no model: lines around the user's own words, or the user's own sentences.

It claims nothing about the topic, since it knows nothing: it repeats the question, tells the viewer how to look, and
asks for more. A prompt that is a text is spoken itself, shortened to its weightiest sentences where it is too long.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections import Counter

from ytray.studio.model import Hook, Scene, Script
from ytray.studio.providers.offline_lines import LINES, Line, Lines, Mood
from ytray.studio.providers.reading import Reading, read, weightiest_word
from ytray.studio.words import keywords_of, sentences_of, without_end, words_of

_WORDS_PER_SECOND = 2.7
_WORDS_A_SCENE = 26  # sentences of a text share a scene up to here
_SPARE = 4  # words by which a line may go over what is left
_WORTH_NAMING = 0.8  # share of the wanted length from which on the note says how long the text is instead

_NOTE_TEMPLATE = "written offline from templates around the prompt's own words; it states no facts about the topic"
_NOTE_TEXT = "the prompt's own sentences, the weightiest where not all fit, chosen offline; framed by templates"
_TWO_STOPS = re.compile(r"(?<!\.)\.\.(?!\.)")
_MOODS: tuple[Mood, ...] = ("calm", "warm", "wild", "dark", "bright")


class OfflineText:
    """The offline writer."""

    name = "offline"

    def hook(self, prompt: str, genre: str, platform: str, variant: int = 0) -> Hook:
        """An opening line for a prompt; genre, platform and variant choose among the lines."""
        reading = read(prompt)
        seed = (prompt, genre, platform, *([str(variant)] if variant else []))
        lines, chance = LINES[reading.language], _chance(*seed)
        if reading.kind == "question":
            line = chance.choice(lines.hooks_question)
        elif reading.kind == "text":
            word = weightiest_word(reading.core)
            line = lines.hook_about_word.replace("{word}", word) if word else chance.choice(lines.hooks_text)
        else:
            line = chance.choice(lines.hooks_counted if reading.count else lines.hooks_topic)
        return Hook(text=_filled(line, reading, lines), provider=self.name, note=_NOTE_TEMPLATE)

    def script(self, prompt: str, hook: str | None, seconds: float) -> Script:
        """A script of about `seconds` of speech."""
        reading = read(prompt)
        lines, chance = LINES[reading.language], _chance(prompt, "script")
        opening = Scene(
            narration=hook or self.hook(prompt, "general", "youtube_shorts").text,
            subject=" ".join(reading.keys),
            mood="bright",
        )
        budget = round(seconds * _WORDS_PER_SECOND)
        left = budget - _length(opening)
        own: list[Scene] = []
        if reading.kind == "text":
            own = _own_sentences(reading, max(left, 1))
            left -= sum(_length(scene) for scene in own)
        endings = {"question": lines.endings_question, "topic": lines.endings_topic, "text": lines.endings_text}
        ending = _scene(chance.choice(endings[reading.kind]), reading, lines)
        closing = [ending] if _length(ending) <= left + _SPARE else []
        left -= sum(_length(scene) for scene in closing)
        body = _body(reading, lines, left, chance)
        if reading.count:
            if len(body) < reading.count:
                body = [_scene(line, reading, lines) for line in lines.quick[: reading.count]]
                if sum(_length(scene) for scene in body) > left:
                    closing = []
            for place, number in enumerate(lines.ordinals[: reading.count]):
                first = body[place * len(body) // reading.count]  # of its share of the body
                first.narration = f"{number} {first.narration}"
        scenes = [opening, *own, *body, *closing]
        note = _NOTE_TEXT if own else _NOTE_TEMPLATE
        length = sum(_length(scene) for scene in scenes)
        if not budget * _WORTH_NAMING <= length <= budget / _WORTH_NAMING:
            note += f"; about {length / _WORDS_PER_SECOND:.0f} of the {seconds:.0f} s asked for"
        return Script(
            title=_title(reading),
            topic=" ".join(reading.keys),
            language=reading.language,
            scenes=scenes,
            provider=self.name,
            note=note,
        )

    def notes(self, script: Script, about: str, figures: str) -> None:
        """None: templates give no advice."""


def _body(reading: Reading, lines: Lines, budget: int, chance: random.Random) -> list[Scene]:
    """Lines that fit the budget, in their own order; those made for this kind of prompt come first and go first."""
    special = {"question": lines.for_questions, "topic": lines.for_topics, "text": ()}[reading.kind]
    pool = [_scene(line, reading, lines) for line in (*special, *lines.for_all)]
    preferred, others = list(range(len(special))), list(range(len(special), len(pool)))
    chance.shuffle(preferred)
    chance.shuffle(others)
    # Half of what is said names the topic: a script of general lines alone would fit any.
    order = [place for pair in zip(preferred, others, strict=False) for place in pair]
    order += [place for place in (*preferred, *others) if place not in order]
    if count := reading.count:  # short ones first, so that as many fit as were asked for
        share = budget / count
        order.sort(key=lambda place: _length(pool[place]) > share)
    chosen: list[int] = []
    for place in order:
        if _length(pool[place]) <= budget + _SPARE:
            chosen.append(place)
            budget -= _length(pool[place])
    return [pool[place] for place in sorted(chosen)]


def _own_sentences(reading: Reading, budget: int) -> list[Scene]:
    """The text's own sentences in their order, without the least weighty ones where not all fit."""
    sentences = sentences_of(reading.core)
    uses = Counter(word.lower() for word in words_of(reading.core))
    telling = {word.lower() for word in keywords_of(reading.core, 10_000)}

    def weight(sentence: str) -> float:
        own = words_of(sentence)
        return sum(uses[word.lower()] for word in own if word.lower() in telling) / math.sqrt(len(own) or 1)

    kept: set[int] = set()
    for place in sorted(range(len(sentences)), key=lambda i: -weight(sentences[i])):
        size = len(words_of(sentences[place]))
        if size <= budget:
            kept.add(place)
            budget -= size
    texts: list[str] = []
    for place in sorted(kept):
        if texts and len(words_of(texts[-1])) + len(words_of(sentences[place])) <= _WORDS_A_SCENE:
            texts[-1] += " " + sentences[place]
        else:
            texts.append(sentences[place])
    if not texts:  # one sentence, longer than the video: its beginning
        texts = [" ".join(reading.core.split()[:budget]) + "…"]
    return [
        Scene(
            narration=text,
            subject=" ".join(keywords_of(text, 4) or reading.keys),
            mood=_MOODS[place % len(_MOODS)],
        )
        for place, text in enumerate(texts)
    ]


def _scene(line: Line, reading: Reading, lines: Lines) -> Scene:
    subject = line.picture.replace("{keys}", " ".join(reading.keys))
    return Scene(narration=_filled(line.text, reading, lines), subject=subject, mood=line.mood)


def _filled(line: str, reading: Reading, lines: Lines) -> str:
    """The line with its slots filled and a capital first letter. The user's braces are never read as slots."""
    question = reading.core[:1].upper() + reading.core[1:]
    if reading.kind == "question":
        mark = {"es": "¿{}?", "fr": "{} ?"}.get(reading.language, "{}?")
        asked = (
            mark.replace("{}", question) if reading.direct else lines.do_you_know.replace("{question}", reading.core)
        )
        line = line.replace("{asked}", asked)
    else:
        number = lines.counts[reading.count - 1] if reading.count else ""
        line = line.replace("{number}", number).replace("{topic}", reading.core)
    line = _TWO_STOPS.sub(".", line)  # behind "the U.S." stands no other one
    return line[:1].upper() + line[1:]


def _length(scene: Scene) -> int:
    return len(words_of(scene.narration))


def _title(reading: Reading) -> str:
    words = without_end(sentences_of(reading.core)[0]).split()
    short = " ".join(words[:9]) + ("…" if len(words) > 9 else "")
    mark = "?" if reading.kind == "question" and reading.direct else ""
    return short[:1].upper() + short[1:].rstrip("?") + mark


def _chance(*seed: str) -> random.Random:
    return random.Random(hashlib.sha256("\0".join(seed).encode()).digest())
