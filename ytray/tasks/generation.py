"""The tasks of the `generation` queue: hooks, scripts, and what can be said of a script."""

from __future__ import annotations

from typing import Literal

from ytray import current_job, task
from ytray.settings import ProviderName, settings
from ytray.studio.analysis import coherence, emotion, pacing
from ytray.studio.analysis.hook import hook_score
from ytray.studio.model import (
    Coherence,
    Duration,
    EmotionalArc,
    Hook,
    HookCandidate,
    Pacing,
    Prompt,
    Script,
    Speech,
    Text,
)
from ytray.studio.providers import writer
from ytray.studio.providers.vertex_judge import judge_coherence
from ytray.studio.texts import script_of


@task()
def generate_hook(
    prompt: Prompt,
    genre: str = "general",
    platform: str = "youtube_shorts",
    provider: ProviderName | None = None,
    fresh: bool = False,
) -> Hook:
    """Write the opening line for a prompt; one that scores low is written again, and the best is taken."""
    text = writer(provider, fresh=fresh)
    written: list[Hook] = []
    tried: list[HookCandidate] = []
    for variant in range(settings().hook_tries):
        current_job().progress(10 + 80 * variant / settings().hook_tries, f"writing the hook, try {variant + 1}")
        hook = text.hook(prompt, genre, platform, variant)
        if hook.text not in [candidate.text for candidate in tried]:
            tried.append(HookCandidate(text=hook.text, score=hook_score(hook.text)))
            written.append(hook)
        if tried[-1].score >= settings().hook_threshold:
            break
    best = max(range(len(tried)), key=lambda place: tried[place].score)
    return written[best].model_copy(update={"score": tried[best].score, "candidates": tried})


@task()
def generate_script(
    prompt: Prompt,
    hook: str | None = None,
    duration: Duration = 30,
    provider: ProviderName | None = None,
    fresh: bool = False,
) -> Script:
    """Write a script of about `duration` seconds, scene by scene; it opens with `hook` when there is one."""
    current_job().progress(10, "writing the script")
    return writer(provider, fresh=fresh).script(prompt, hook, duration)


@task()
def validate_coherence(
    script: Script | Text, topic: str | None = None, judge: Literal["computed", "vertex"] | None = None
) -> Coherence:
    """Measure how well a script (or a plain text) holds together.

    `judge` vertex asks its evaluation service for a second opinion.
    """
    current_job().progress(10, "comparing the scenes")
    script = script_of(script)
    computed = coherence.coherence(script, topic)
    if (judge or settings().coherence_judge) == "vertex":
        return computed.model_copy(update={"judgement": judge_coherence(script)})
    return computed


@task()
def analyze_pacing(
    script: Script | Text, speeches: list[Speech] | None = None, provider: ProviderName | None = None
) -> Pacing:
    """Measure how fast a script (or a plain text) is spoken and cut, with a language model's notes.

    Without narrations it is estimated.
    """
    current_job().progress(10, "counting words and cuts")
    script = script_of(script)
    found = pacing.pacing(script, speeches)
    figures = f"{found.words_per_minute:.0f} words a minute (150 to 190 is good), by scene: " + ", ".join(
        f"{rate:.0f}" for rate in found.by_scene
    )
    return found.model_copy(update={"notes": writer(provider).notes(script, "pacing", figures)})


@task()
def track_emotional_arc(script: Script | Text, provider: ProviderName | None = None) -> EmotionalArc:
    """Follow the mood of a script (or a plain text), sentence by sentence, with a language model's notes."""
    current_job().progress(10, "weighing the sentences")
    script = script_of(script)
    found = emotion.emotional_arc(script)
    figures = f"nearest story shape: {found.shape} (fit {found.fit:.2f}); valence by sentence: " + ", ".join(
        f"{value:+.2f}" for value in found.valence
    )
    return found.model_copy(update={"notes": writer(provider).notes(script, "emotional arc", figures)})
