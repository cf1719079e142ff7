"""How well a script holds together: TF-IDF cosine similarity between its scenes, and of each with the topic."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

from ytray.studio.model import Coherence, Script
from ytray.studio.words import STOPWORDS, carries, words_of

# Cosines of well-joined short texts lie far below 1: what counts as full marks, chosen so that a script about one thing
# scores above 0.6 and shuffled sentences of several scripts below 0.4. A scale of our own.
_FULL_MARKS = 0.35


def coherence(script: Script, topic: str | None = None) -> Coherence:
    """Compute the coherence of a script; `topic` is the script's own unless given."""
    small = STOPWORDS["en"] | STOPWORDS.get(script.language, frozenset())
    texts = [_terms(scene.narration, small) for scene in script.scenes]
    wanted = _terms(topic or script.topic, small)
    documents = [*texts, wanted]
    holding = Counter(term for document in documents for term in set(document))
    rarity = {term: math.log((1 + len(documents)) / (1 + number)) + 1 for term, number in holding.items()}
    vectors = [{term: number * rarity[term] for term, number in Counter(text).items()} for text in texts]
    target = {term: number * rarity[term] for term, number in Counter(wanted).items()}
    between = [_cosine(a, b) for a, b in pairwise(vectors)]
    with_topic = [_cosine(vector, target) for vector in vectors]
    parts = [max(b, t) for b, t in zip(between, with_topic[1:], strict=True)] or with_topic
    score = min(1.0, sum(parts) / len(parts) / _FULL_MARKS)
    return Coherence(
        score=round(score, 4),
        between_scenes=[round(value, 4) for value in between],
        with_topic=[round(value, 4) for value in with_topic],
    )


def _terms(text: str, small: frozenset[str]) -> list[str]:
    return [_stem(word.lower()) for word in words_of(text) if carries(word) and word.lower() not in small]


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _cosine(a: dict[str, float], b: dict[str, float]) -> float:
    norms = math.sqrt(sum(v * v for v in a.values())) * math.sqrt(sum(v * v for v in b.values()))
    return sum(value * b.get(term, 0.0) for term, value in a.items()) / norms if norms else 0.0
