"""The tasks of the `media` queue: pictures, narration, clips, and their composition. Files travel as artifact URIs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from ytray import current_job, task
from ytray.artifacts import ArtifactStore
from ytray.errors import PermanentError
from ytray.settings import ProviderName
from ytray.studio.model import SIZES, Aspect, Clip, Picture, Scene, SceneMedia, Speech, Video
from ytray.studio.providers import film_maker, painter, speaker
from ytray.studio.render.captions import captions_of, to_srt
from ytray.studio.render.compose import RENDERER, compose
from ytray.studio.render.probe import probe
from ytray.studio.render.timeline import Timeline, scene_of

_STILL_SCALE = 1.25  # stills are drawn larger than the video, since scenes zoom into them


@task()
def generate_image_imagen(
    scene: Scene,
    seed: str = "",
    aspect: Aspect = "9:16",
    provider: ProviderName | None = None,
    fresh: bool = False,
) -> Picture:
    """Make the picture of a scene. The name is a promise to callers; the provider's own model draws."""
    current_job().progress(5, "drawing")
    width, height = (round(side * _STILL_SCALE) for side in SIZES[aspect])
    with tempfile.TemporaryDirectory(prefix="ytray-") as folder:
        file = Path(folder) / "picture.jpg"
        draws = painter(provider, fresh=fresh)
        draws.draw(scene, seed, (width, height), file)
        uri = ArtifactStore().publish(file, current_job().id, "picture.jpg")
    return Picture(uri=uri, width=width, height=height, provider=draws.name)


@task()
def generate_audio_tts(
    text: str, language: str = "en", provider: ProviderName | None = None, fresh: bool = False
) -> Speech:
    """Speak a text: a WAV file, and the time of each word."""
    current_job().progress(5, "speaking")
    with tempfile.TemporaryDirectory(prefix="ytray-") as folder:
        file = Path(folder) / "speech.wav"
        speaks = speaker(provider, fresh=fresh)
        spoken = speaks.speak(text, language, file)
        uri = ArtifactStore().publish(file, current_job().id, "speech.wav")
    return Speech(uri=uri, seconds=spoken.seconds, words=spoken.words, voice=spoken.voice, provider=speaks.name)


@task()
def generate_video_veo(
    prompt: str,
    image: str | None = None,
    duration: Literal[4, 6, 8] = 4,
    aspect: Aspect = "9:16",
    provider: ProviderName | None = None,
    fresh: bool = False,
) -> Clip:
    """Make a silent clip of `duration` seconds, from the picture `image` (an artifact URI) or from the prompt alone.

    While a service is at work on it the job waits as RETRYING, and holds no slot.
    """
    current_job().progress(5, "filming")
    store = ArtifactStore()
    with tempfile.TemporaryDirectory(prefix="ytray-") as name:
        folder = Path(name)
        file = folder / "clip.mp4"
        still = None if image is None else store.fetch(image, folder)
        films = film_maker(provider, fresh=fresh)
        films.film(prompt, still, duration, SIZES[aspect], file)
        found = probe(file)
        uri = store.publish(file, current_job().id, "clip.mp4")
    return Clip(uri=uri, seconds=found.seconds, width=found.width, height=found.height, provider=films.name)


@task()
def compose_final_video(scenes: list[SceneMedia], aspect: Aspect = "9:16", captions: bool = True) -> Video:
    """Compose scenes into one captioned, loudness-normalised MP4."""
    if not scenes:
        raise PermanentError("a video needs at least one scene")
    job = current_job()
    job.progress(1, "fetching pictures and narration")
    width, height = SIZES[aspect]
    store = ArtifactStore()
    with tempfile.TemporaryDirectory(prefix="ytray-") as name:
        folder = Path(name)
        timeline_scenes = []
        for place, scene in enumerate(scenes):
            own = folder / str(place)
            own.mkdir()
            picture, narration = store.fetch(scene.picture, own), store.fetch(scene.speech.uri, own)
            timeline_scenes.append(scene_of(place, picture, narration, scene.speech.words, scene.speech.seconds))
        timeline = Timeline(width=width, height=height, captions=captions, scenes=timeline_scenes)
        file = folder / "video.mp4"
        compose(
            timeline, file, lambda share: job.progress(2 + share * 96, f"rendering {timeline.seconds:.0f} s of video")
        )
        srt = folder / "captions.srt"
        srt.write_text(to_srt(captions_of(timeline.words())), "utf-8")
        captions_uri = store.publish(srt, job.id, "captions.srt")
        uri = store.publish(file, job.id, "video.mp4")
    return Video(
        uri=uri, captions_srt=captions_uri, seconds=timeline.seconds, width=width, height=height, renderer=RENDERER
    )
