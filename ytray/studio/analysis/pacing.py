"""How fast a script is spoken and cut."""

from __future__ import annotations

from ytray.studio.model import Pacing, Script, Speech
from ytray.studio.words import words_of

TARGET = (150.0, 190.0)  # words a minute of a comfortable narration
_ASSUMED = 170.0  # words a minute, as long as nothing has been spoken


def pacing(script: Script, speeches: list[Speech] | None = None) -> Pacing:
    """Words a minute overall and by scene: measured from the narrations' lengths, or estimated when there are none."""
    counts = [len(words_of(scene.narration)) for scene in script.scenes]
    if speeches:
        seconds = [speech.seconds for speech in speeches]
        method = "measured from the narration"
    else:
        seconds = [count / _ASSUMED * 60 for count in counts]
        method = f"estimated at {_ASSUMED:.0f} words a minute: nothing has been spoken yet"
    total = sum(seconds)
    overall = sum(counts) / total * 60 if total else 0.0
    return Pacing(
        words_per_minute=round(overall, 1),
        by_scene=[
            round(count / length * 60, 1) if length else 0.0 for count, length in zip(counts, seconds, strict=True)
        ],
        cuts_per_minute=round((len(counts) - 1) / total * 60, 2) if total else 0.0,
        in_target=TARGET[0] <= overall <= TARGET[1],
        method=method,
    )
