"""The tasks of the `media` queue: pictures, narration, clips, and their composition. Files travel as artifact URIs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from ytray import current_job, task
from ytray.artifacts import ArtifactStore
from ytray.errors import PermanentError
from ytray.settings import ProviderName
from ytray.studio.model import SIZES, Aspect, Clip, Picture, RenderedScene, Scene, SceneMedia, Speech, Video
from ytray.studio.providers import film_maker, painter, speaker
from ytray.studio.render.captions import captions_of_timeline, to_srt, to_vtt
from ytray.studio.render.compose import compose
from ytray.studio.render.kept import KeptArtifacts
from ytray.studio.render.probe import probe
from ytray.studio.render.scene import RENDERER, scene_name
from ytray.studio.render.scene import render_scene as render_one
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
def render_scene(scene: SceneMedia, place: int, aspect: Aspect = "9:16", captions: bool = True) -> RenderedScene:
    """Render one scene of a video, the `place`-th from 0, and keep it for the composition.

    Scenes are rendered as soon as their picture and narration are there, side by side on the nodes of the media queue.
    """
    job = current_job()
    job.progress(1, "fetching the picture")
    kept = KeptArtifacts()
    with tempfile.TemporaryDirectory(prefix="ytray-") as name:
        folder = Path(name)
        timeline = _fetched(_timeline([scene], aspect, captions, first=place), folder)
        (only,) = timeline.scenes
        part = scene_name(timeline, only)
        found = kept.find(part, folder)
        if found is None:
            file = folder / "scene.mp4"
            render_one(timeline, only, file, lambda share: job.progress(2 + share * 96, f"rendering scene {place + 1}"))
            kept.keep(part, file)
    return RenderedScene(part=part, seconds=only.length, was_kept=found is not None)


@task()
def compose_final_video(scenes: list[SceneMedia], aspect: Aspect = "9:16", captions: bool = True) -> Video:
    """Compose scenes into one captioned, mastered MP4. What `render_scene` has rendered is joined without encoding."""
    if not scenes:
        raise PermanentError("a video needs at least one scene")
    return _composed(_timeline(scenes, aspect, captions))


@task()
def render_timeline(timeline: Timeline) -> Video:
    """Render a timeline, such as the edited `timeline.json` of a video; only scenes that were changed are rendered."""
    return _composed(timeline)


def _composed(timeline: Timeline) -> Video:
    job, store = current_job(), ArtifactStore()
    job.progress(1, "fetching pictures and narration")
    with tempfile.TemporaryDirectory(prefix="ytray-") as name:
        folder = Path(name)
        local = _fetched(timeline, folder)
        file = folder / "video.mp4"
        told = f"rendering {timeline.seconds:.0f} s of video"
        compose(local, file, lambda share: job.progress(2 + share * 96, told), KeptArtifacts())
        captions = captions_of_timeline(timeline)
        written = {
            "captions.srt": to_srt(captions),
            "captions.vtt": to_vtt(captions),
            "timeline.json": timeline.model_dump_json(indent=2),
        }
        kept = {}
        for beside, text in written.items():
            (folder / beside).write_text(text, "utf-8")
            kept[beside] = store.publish(folder / beside, job.id, beside)
        uri = store.publish(file, job.id, "video.mp4")
    return Video(
        uri=uri,
        captions_srt=kept["captions.srt"],
        captions_vtt=kept["captions.vtt"],
        timeline=kept["timeline.json"],
        seconds=timeline.seconds,
        width=timeline.width,
        height=timeline.height,
        renderer=RENDERER,
    )


def _timeline(scenes: list[SceneMedia], aspect: Aspect, captions: bool, first: int = 0) -> Timeline:
    """The timeline of scenes, by the URIs of their artifacts; the first is the `first`-th of its video."""
    width, height = SIZES[aspect]
    made = [
        scene_of(place, scene.picture, scene.speech.uri, scene.speech.words, scene.speech.seconds)
        for place, scene in enumerate(scenes, first)
    ]
    return Timeline(width=width, height=height, captions=captions, scenes=made)


def _fetched(timeline: Timeline, folder: Path) -> Timeline:
    """The timeline with its artifacts as local files."""
    store = ArtifactStore()
    scenes = []
    for place, scene in enumerate(timeline.scenes):
        own = folder / str(place)
        own.mkdir()
        local = {"picture": str(store.fetch(scene.picture, own)), "narration": str(store.fetch(scene.narration, own))}
        scenes.append(scene.model_copy(update=local))
    return timeline.model_copy(update={"scenes": scenes})
