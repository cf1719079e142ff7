"""Plain texts where a script or a scene is expected: read as one."""

from __future__ import annotations

import re

from ytray.errors import PermanentError
from ytray.studio.markup import plain_text
from ytray.studio.model import Scene, Script
from ytray.studio.words import keywords_of, language_of, sentences_of, without_end

_MOOD = "bright"  # of pictures whose mood nobody has said
_TITLE_WORDS = 9


def script_of(given: Script | str) -> Script:
    """A script, or a text as one: each paragraph is a scene, or each sentence of a text without paragraphs.

    Raises PermanentError when nothing is said in it.
    """
    if isinstance(given, Script):
        return given
    given = plain_text(given)
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", given) if part.strip()]
    texts = paragraphs if len(paragraphs) > 1 else sentences_of(" ".join(given.split()))
    if not texts:
        raise PermanentError("the script is empty: give the text that is spoken, or a script with scenes")
    words = without_end(texts[0]).split()
    return Script(
        title=" ".join(words[:_TITLE_WORDS]) + ("…" if len(words) > _TITLE_WORDS else ""),
        topic=" ".join(keywords_of(given, 4)) or texts[0],
        language=language_of(given),
        scenes=[Scene(narration=text, subject=" ".join(keywords_of(text, 4)) or text, mood=_MOOD) for text in texts],
        provider="given",
        note="the caller's own text",
    )


def scene_of_prompt(prompt: str) -> Scene:
    """A scene whose picture shows what a prompt says, with nothing spoken."""
    return Scene(narration="", subject=prompt, mood=_MOOD)
