"""Who makes text, speech, pictures and clips: the providers that settings or a job name."""

from __future__ import annotations

from ytray.engine.base.context import current_job
from ytray.errors import PermanentError
from ytray.settings import ProviderName, settings
from ytray.studio.providers.protocols import ImageProvider, SpeechProvider, TextProvider, VideoProvider


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
