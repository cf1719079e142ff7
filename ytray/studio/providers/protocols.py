"""What a provider of text, speech, pictures or clips does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ytray.studio.model import Hook, Scene, Script, Word


class TextProvider(Protocol):
    """Writes hooks and scripts."""

    name: str

    def hook(self, prompt: str, genre: str, platform: str, variant: int = 0) -> Hook:
        """An opening line for a prompt; another variant is another line."""

    def script(self, prompt: str, hook: str | None, seconds: float) -> Script:
        """A script of about so many seconds of speech; it opens with `hook` when there is one."""

    def notes(self, script: Script, about: str, figures: str) -> str | None:
        """Advice on a script in the light of what was measured; None from who cannot give any."""


@dataclass(frozen=True)
class Spoken:
    """What a speech provider made: mono WAV beside it, `seconds` long, and the time of each word."""

    seconds: float
    words: list[Word]
    voice: str


class SpeechProvider(Protocol):
    """Speaks."""

    name: str

    def speak(self, text: str, language: str, into: Path) -> Spoken:
        """Write a WAV file of `text` to `into`."""


class ImageProvider(Protocol):
    """Makes stills."""

    name: str

    def draw(self, scene: Scene, seed: str, size: tuple[int, int], into: Path) -> None:
        """Write a picture of `size` pixels (width, height) to `into`; the same seed gives the same picture."""


class VideoProvider(Protocol):
    """Makes clips."""

    name: str

    def film(self, prompt: str, still: Path | None, seconds: int, size: tuple[int, int], into: Path) -> None:
        """Write a clip to `into`, of about `size` pixels, made from `still` or from the prompt alone.

        Raises RetryLater while it is being made elsewhere: called again, it goes on.
        """
