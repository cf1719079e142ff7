"""What a video will cost, before anything is called."""

from __future__ import annotations

import math

from ytray.settings import ProviderName, settings
from ytray.spend.prices import Price, price_of, price_table
from ytray.studio.model import Brief, Estimate, EstimateLine
from ytray.studio.providers.vertex import AUDIO_TOKENS_A_SECOND
from ytray.studio.providers.vertex_judge import MODEL as JUDGE
from ytray.studio.providers.writing import WORDS_A_SCENE, WORDS_PER_SECOND

# Tokens of the questions that writing.py asks, without the user's prompt, and of answers as they usually are. An answer
# may be three times as long: the most.
_ASKED, _ANSWERED_HOOK, _ANSWERED_NOTES, _TOKENS_A_WORD = 250, 300, 500, 4
_CHARACTERS_A_TOKEN = 4.0  # of English text
_MOST = 3.0


def estimate(brief: Brief) -> Estimate:
    """Price a brief by the settings and the table of prices in force.

    `likely_usd` is what such a video usually takes, `most_usd` what it can take if every hook is written anew and
    answers are long. What was bought before costs nothing and is not taken into account. Raises Unpriced when a model
    has no price.
    """
    mix = brief.mix
    words = brief.duration * WORDS_PER_SECOND
    scenes = max(2, round(words / WORDS_A_SCENE))
    lines = [
        *_text(mix.text or settings().provider_text or settings().provider, brief, words),
        *_images(mix.image or settings().provider_image or settings().provider, scenes),
        *_speech(mix.speech or settings().provider_speech or settings().provider, brief.duration, scenes),
        *_judge(),
    ]
    return Estimate(
        lines=lines,
        likely_usd=round(sum(line.likely_usd for line in lines), 4),
        most_usd=round(sum(line.most_usd for line in lines), 4),
        prices_dated=price_table().dated.isoformat(),
    )


def _text(provider: ProviderName, brief: Brief, words: float) -> list[EstimateLine]:
    if provider == "offline":
        return []
    model = settings().model_text if provider == "vertex" else settings().openai_model or "?"
    price = price_of(model) if provider == "vertex" else price_table().models.get(model, Price())
    asked = _ASKED + math.ceil(len(brief.prompt) / _CHARACTERS_A_TOKEN)
    script = words * _TOKENS_A_WORD
    hook = price.of(input_tokens=asked, output_tokens=_ANSWERED_HOOK)
    rest = price.of(input_tokens=asked + 2 * (_ASKED + script), output_tokens=script + 2 * _ANSWERED_NOTES)
    tries = settings().hook_tries
    return [_line("text", model, 4, hook + rest, _MOST * (tries * hook + rest))]


def _images(provider: ProviderName, scenes: int) -> list[EstimateLine]:
    if provider != "vertex":
        return []
    model = settings().model_image
    one = price_of(model).of(images=1, input_tokens=_ASKED)
    return [_line("image", model, scenes, scenes * one, math.ceil(scenes * 1.5) * one)]


def _speech(provider: ProviderName, seconds: int, scenes: int) -> list[EstimateLine]:
    if provider != "vertex":
        return []
    model = settings().model_speech
    one = price_of(model).of(audio_tokens=seconds * AUDIO_TOKENS_A_SECOND, input_tokens=seconds * _TOKENS_A_WORD)
    return [_line("speech", model, scenes, one, 1.5 * one)]


def _judge() -> list[EstimateLine]:
    if settings().coherence_judge != "vertex":
        return []
    one = price_table().models.get(JUDGE, Price()).call
    return [_line("judge", JUDGE, 1, one, one)]


def _line(kind: str, model: str, calls: int, likely: float, most: float) -> EstimateLine:
    return EstimateLine(kind=kind, model=model, calls=calls, likely_usd=round(likely, 4), most_usd=round(most, 4))
