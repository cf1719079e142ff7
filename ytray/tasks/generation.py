"""The tasks of the `generation` queue: hooks, scripts, and what can be said of a script."""

from __future__ import annotations

from ytray import current_job, task
from ytray.studio.analysis import coherence, emotion, pacing
from ytray.studio.model import Coherence, Duration, EmotionalArc, Hook, Pacing, Prompt, Script, Speech
from ytray.studio.providers import providers


@task()
def generate_hook(prompt: Prompt, genre: str = "general", platform: str = "youtube_shorts") -> Hook:
    """Write the opening line for a prompt."""
    current_job().progress(10, "writing the hook")
    return providers().text.hook(prompt, genre, platform)


@task()
def generate_script(prompt: Prompt, hook: str | None = None, duration: Duration = 30) -> Script:
    """Write a script of about `duration` seconds, scene by scene; it opens with `hook` when there is one."""
    current_job().progress(10, "writing the script")
    return providers().text.script(prompt, hook, duration)


@task()
def validate_coherence(script: Script, topic: str | None = None) -> Coherence:
    """Measure how well a script holds together."""
    current_job().progress(10, "comparing the scenes")
    return coherence.coherence(script, topic)


@task()
def analyze_pacing(script: Script, speeches: list[Speech] | None = None) -> Pacing:
    """Measure how fast a script is spoken and cut; without narrations, estimate it."""
    current_job().progress(10, "counting words and cuts")
    return pacing.pacing(script, speeches)


@task()
def track_emotional_arc(script: Script) -> EmotionalArc:
    """Follow the mood of a script, sentence by sentence."""
    current_job().progress(10, "weighing the sentences")
    return emotion.emotional_arc(script)
