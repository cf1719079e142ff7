"""Who makes text, speech, pictures and clips: four small protocols, and the providers that settings or a job name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ytray.engine.base.context import current_job
from ytray.errors import PermanentError
from ytray.settings import ProviderName, settings
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


def writer(name: ProviderName | None = None, *, fresh: bool = False) -> TextProvider:
    """Who writes: the provider of that name, else the settings'. `fresh` pays again for what was bought before."""
    match name or settings().provider_text or settings().provider:
        case "vertex":
            from ytray.studio.providers.vertex import VertexText

            return VertexText(_place(fresh))
        case "openai":
            from ytray.studio.providers.openai_text import OpenAIText

            return OpenAIText(_place(fresh))
        case _:
            from ytray.studio.providers.offline_text import OfflineText

            return OfflineText()


def speaker(name: ProviderName | None = None, *, fresh: bool = False) -> SpeechProvider:
    """Who speaks, as `writer`. Raises PermanentError for a provider that cannot."""
    match name or settings().provider_speech or settings().provider:
        case "vertex":
            from ytray.studio.providers.vertex import VertexSpeech

            return VertexSpeech(_place(fresh))
        case "offline":
            from ytray.studio.providers.offline_speech import OfflineSpeech

            return OfflineSpeech()
        case other:
            raise _cannot(other, "speak", "YTRAY_PROVIDER_SPEECH")


def painter(name: ProviderName | None = None, *, fresh: bool = False) -> ImageProvider:
    """Who draws, as `writer`. Raises PermanentError for a provider that cannot."""
    match name or settings().provider_image or settings().provider:
        case "vertex":
            from ytray.studio.providers.vertex import VertexImage

            return VertexImage(_place(fresh))
        case "offline":
            from ytray.studio.providers.offline_picture import OfflineImage

            return OfflineImage()
        case other:
            raise _cannot(other, "draw", "YTRAY_PROVIDER_IMAGE")


def film_maker(name: ProviderName | None = None, *, fresh: bool = False) -> VideoProvider:
    """Who films, as `writer`. Raises PermanentError for a provider that cannot."""
    match name or settings().provider_video or settings().provider:
        case "vertex":
            from ytray.studio.providers.vertex_video import VertexVideo

            return VertexVideo(_place(fresh))
        case "offline":
            from ytray.studio.providers.offline_clip import OfflineVideo

            return OfflineVideo()
        case other:
            raise _cannot(other, "film", "YTRAY_PROVIDER_VIDEO")


def _place(fresh: bool) -> str:
    # The attempts of one job share what it bought; another job does not.
    return f"fresh for {current_job().id}: " if fresh else ""


def _cannot(name: str, what: str, setting: str) -> PermanentError:
    return PermanentError(f"the provider {name!r} does not {what}: set {setting} to offline or vertex")
