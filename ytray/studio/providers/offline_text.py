"""A deterministic writer that needs no model: templates around the user's own words, or their own sentences.

It claims nothing about the topic, since it knows nothing: it frames the question, tells the viewer how to look, and
asks for more. A long prompt is shortened to its weightiest sentences instead.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter

from ytray.studio.model import Hook, Scene, Script
from ytray.studio.words import keywords_of, language_of, phrases_of, sentences_of, words_of

_WORDS_PER_SECOND = 2.7
_LONG_PROMPT = 60  # words: from here on the prompt itself is the text
_WORDS_A_SCENE = 30

_NOTE_TEMPLATE = "written offline from templates around the prompt's own words; it states no facts about the topic"
_NOTE_EXTRACT = "the weightiest sentences of the prompt itself, chosen offline by word frequency"

_QUESTION_STARTS = frozenset("why how what when where who which do does did is are can could should would will".split())

_HOOKS_QUESTION = (
    "{question}? You have probably wondered, so let's finally slow down and look.",
    "Have you ever stopped and asked: {question_inside}?",
    "One question, half a minute: {question_inside}?",
)
_HOOKS_TOPIC = (
    "What do you really know about {topic}? Let's find out together.",
    "Give me half a minute of your time, and {topic} will look different to you.",
    "You scroll past it every day. Today we stop for {topic}.",
)
# Each line stands on its own, so any choice of them, kept in this order, reads as one train of thought.
_BODY = (
    ("bright", "Keep {number} in mind while you watch: {list}. Everything else hangs on that."),
    (
        "calm",
        "Start with what you already know. Close your eyes for a moment and picture {first} as clearly as you can.",
    ),
    ("warm", "Now go one step closer. What do you notice about {first} that you have never said out loud?"),
    (
        "dark",
        "Here is where it gets interesting. Most people stop at the first answer that sounds right. You don't have to.",
    ),
    ("wild", "Turn it around. Imagine a world without {last}. What would be missing, and who would notice first?"),
    ("calm", "Look for the small detail. The best explanations of {first} usually begin with something tiny."),
    ("bright", "Ask someone who has spent years with {last}. Ask what surprised them most, and then listen."),
    ("warm", "Compare two moments, one quiet and one busy. Whatever changes between them is a clue."),
    ("dark", "Be honest about what nobody has told you yet. A good question is worth more than a fast answer."),
    ("wild", "Try it for yourself today. Five minutes with {first}, no phone, just looking and listening."),
)
_ENDINGS_QUESTION = (
    ("warm", "So, {question_inside}? Tell me your answer below. The best one decides what we look at next."),
    ("bright", "Next time the thought comes up, don't let it go. Ask it out loud: {question_inside}?"),
)
_ENDINGS_TOPIC = (
    ("warm", "That was {topic}, seen a little more slowly. Tell me below what you would look at next."),
    ("bright", "Next time you meet {first}, stay for one more second. That second is where the story starts."),
)


class OfflineText:
    """The offline writer."""

    name = "offline"

    def hook(self, prompt: str, genre: str, platform: str) -> Hook:
        """An opening line for a prompt; genre and platform choose among the variants."""
        chance = _chance(prompt, genre, platform)
        if _is_long(prompt):
            topic = " and ".join(keywords_of(prompt, 2)) or "this"
            return Hook(text=f"You should know this about {topic}.", provider=self.name, note=_NOTE_TEMPLATE)
        line = chance.choice(_HOOKS_QUESTION if _is_question(prompt) else _HOOKS_TOPIC)
        return Hook(text=line.format(**_slots(prompt)), provider=self.name, note=_NOTE_TEMPLATE)

    def script(self, prompt: str, hook: str | None, seconds: float) -> Script:
        """A script of about `seconds` of speech."""
        budget = max(12, round(seconds * _WORDS_PER_SECOND))
        opening = hook or self.hook(prompt, "general", "youtube_shorts").text
        extractive = _is_long(prompt)
        scenes = _extracted(prompt, opening, budget) if extractive else _templated(prompt, opening, budget)
        return Script(
            title=_title(prompt),
            topic=" ".join(keywords_of(prompt, 4)) or prompt.strip(),
            language=language_of(prompt) if extractive else "en",
            scenes=scenes,
            provider=self.name,
            note=_NOTE_EXTRACT if extractive else _NOTE_TEMPLATE,
        )


def _templated(prompt: str, opening: str, budget: int) -> list[Scene]:
    slots = _slots(prompt)
    chance = _chance(prompt, "script")
    mood, ending = chance.choice(_ENDINGS_QUESTION if _is_question(prompt) else _ENDINGS_TOPIC)
    last = Scene(narration=ending.format(**slots), subject=slots["topic"], mood=mood)
    first = Scene(narration=opening, subject=slots["topic"], mood="bright")
    left = budget - len(words_of(opening)) - len(words_of(last.narration))
    lines = list(enumerate(_BODY))
    chance.shuffle(lines)
    chosen: list[tuple[int, Scene]] = []
    for place, (mood, line) in lines:
        text = line.format(**slots)
        if len(words_of(text)) <= left + 4:
            subject = slots["last"] if "{last}" in line else slots["first"]
            chosen.append((place, Scene(narration=text, subject=subject, mood=mood)))
            left -= len(words_of(text))
    return [first, *(scene for _, scene in sorted(chosen, key=lambda pair: pair[0])), last]


def _extracted(prompt: str, opening: str, budget: int) -> list[Scene]:
    sentences = sentences_of(prompt)
    frequency = Counter(word.lower() for word in keywords_of(prompt, 10_000))
    for word in words_of(prompt):
        if word.lower() in frequency:
            frequency[word.lower()] += 1

    def weight(sentence: str) -> float:
        own = words_of(sentence)
        return sum(frequency.get(word.lower(), 0) for word in own) / math.sqrt(len(own) or 1)

    left = budget - len(words_of(opening))
    kept: set[int] = set()
    for place in sorted(range(len(sentences)), key=lambda i: -weight(sentences[i])):
        size = len(words_of(sentences[place]))
        if size <= left:
            kept.add(place)
            left -= size
    texts: list[str] = []
    for place in sorted(kept):
        if texts and len(words_of(texts[-1])) + len(words_of(sentences[place])) <= _WORDS_A_SCENE:
            texts[-1] += " " + sentences[place]
        else:
            texts.append(sentences[place])
    moods = ("calm", "warm", "wild", "dark", "bright")
    topic = " ".join(keywords_of(prompt, 3))
    scenes = [Scene(narration=opening, subject=topic, mood="bright")]
    for place, text in enumerate(texts or [" ".join(words_of(prompt)[:budget])]):
        subject = " ".join(keywords_of(text, 3)) or topic
        scenes.append(Scene(narration=text, subject=subject, mood=moods[place % len(moods)]))
    return scenes


def _slots(prompt: str) -> dict[str, str]:
    sentence = prompt.strip().rstrip(".!?… ")
    topic = sentence if sentence[:1].isupper() and sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]
    # In a question the keywords are a subject and what it does; only the subject can stand in any sentence.
    keys = keywords_of(sentence, 3) if _is_question(prompt) else phrases_of(sentence, 3)
    keys = keys or [topic]
    numbers = {1: "one thing", 2: "two things", 3: "three things"}
    return {
        "question": sentence[:1].upper() + sentence[1:],
        "question_inside": topic,
        "topic": " ".join(keys) if _is_question(prompt) else topic,
        "first": keys[0],
        "last": keys[0] if _is_question(prompt) else keys[-1],
        "number": numbers[len(keys)],
        "list": ", ".join(keys[:-1]) + " and " + keys[-1] if len(keys) > 1 else keys[0],
    }


def _is_question(prompt: str) -> bool:
    words = words_of(prompt.lower())
    return prompt.strip().endswith("?") or bool(words and words[0] in _QUESTION_STARTS)


def _is_long(prompt: str) -> bool:
    return len(words_of(prompt)) >= _LONG_PROMPT


def _title(prompt: str) -> str:
    sentence = sentences_of(prompt)[0].rstrip(".!… ")
    words = sentence.split()
    short = " ".join(words[:9]) + ("…" if len(words) > 9 else "")
    return short[:1].upper() + short[1:]


def _chance(*seed: str) -> random.Random:
    return random.Random(hashlib.sha256("\0".join(seed).encode()).digest())
