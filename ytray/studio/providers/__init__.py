"""Who makes text, speech, pictures and clips: four small protocols, and the provider that a setting names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ytray.studio.model import Hook, Scene, Script, Word


class TextProvider(Protocol):
    """Writes hooks and scripts."""

    name: str

    def hook(self, prompt: str, genre: str, platform: str) -> Hook:
        """The opening line for a prompt."""

    def script(self, prompt: str, hook: str | None, seconds: float) -> Script:
        """A script of about so many seconds of speech; it opens with `hook` when there is one."""


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

    def move(self, still: Path, seconds: int, size: tuple[int, int], into: Path) -> None:
        """Write a moving picture of `size` pixels made from `still` to `into`."""


@dataclass(frozen=True)
class Providers:
    """One of each."""

    text: TextProvider
    speech: SpeechProvider
    image: ImageProvider
    video: VideoProvider


def providers() -> Providers:
    """The providers that YTRAY_PROVIDER names; `offline` needs no key and no network, and is the only one so far."""
    from ytray.studio.providers.offline_clip import OfflineVideo
    from ytray.studio.providers.offline_picture import OfflineImage
    from ytray.studio.providers.offline_speech import OfflineSpeech
    from ytray.studio.providers.offline_text import OfflineText

    return Providers(OfflineText(), OfflineSpeech(), OfflineImage(), OfflineVideo())
