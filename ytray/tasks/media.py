"""The tasks of the `media` queue: pictures, narration, clips, and their composition. Files travel as artifact URIs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from ytray import current_job, task, unit_of_work
from ytray.artifacts import ArtifactStore
from ytray.errors import PermanentError
from ytray.settings import ProviderName
from ytray.studio.markup import plain_text
from ytray.studio.model import (
    SIZES,
    Aspect,
    CaptionStyle,
    Clip,
    Crossfade,
    Fit,
    Picture,
    Prompt,
    RenderedScene,
    Scene,
    SceneMedia,
    Speech,
    Video,
)
from ytray.studio.platforms import DEFAULT_PLATFORM, platform_named
from ytray.studio.providers import film_maker, painter, speaker
from ytray.studio.render.compose import compose
from ytray.studio.render.kept import KeptArtifacts, fetched
from ytray.studio.render.parts import parts_of
from ytray.studio.render.probe import probe
from ytray.studio.render.quality.gate import demand, examine, summary
from ytray.studio.render.quality.page import page
from ytray.studio.render.rendering import render_part
from ytray.studio.render.text.captions import captions_of_timeline, to_srt, to_vtt
from ytray.studio.render.timeline import Look, Music, Timeline, timeline_of
from ytray.studio.render.work import work_folder
from ytray.studio.texts import scene_of_prompt
from ytray.studio.words import spoken_language
from ytray.tasks.healing import STEADY

GPU_SHARE = 0.25  # of a card: four parts keep one encoder busy
_EITHER = "give either a scene or a prompt"
_STILL_SCALE = 1.25  # stills are drawn larger than the video, since scenes zoom into them


def _scene_or_prompt(prompt: str | None, info: ValidationInfo) -> str | None:
    # Where the scene is wrong itself, it is missing from what was read before, and told of already.
    if "scene" in info.data and (info.data["scene"] is None) == (prompt is None):
        raise ValueError(_EITHER)
    return prompt


@task()
def generate_image_imagen(
    scene: Scene | None = None,
    seed: str = "",
    aspect: Aspect = "9:16",
    provider: ProviderName | None = None,
    fresh: bool = False,
    prompt: Annotated[Prompt | None, Field(validate_default=True), AfterValidator(_scene_or_prompt)] = None,
) -> Picture:
    """Make a picture: of a scene of a script, or of what a plain `prompt` says.

    The name is a promise to callers; the provider's own model draws.
    """
    if (scene is None) == (prompt is None):
        raise PermanentError(_EITHER)
    shown = scene or scene_of_prompt(prompt or "")
    current_job().progress(5, "drawing")
    width, height = (round(side * _STILL_SCALE) for side in SIZES[aspect])
    with unit_of_work() as unit, work_folder() as folder:
        file = folder / "picture.jpg"
        draws = painter(provider, fresh=fresh)
        draws.draw(shown, seed, (width, height), file)
        uri = unit.publish(file, "picture.jpg")
    return Picture(uri=uri, width=width, height=height, provider=draws.name)


@task()
def generate_audio_tts(
    text: str, language: str | None = None, provider: ProviderName | None = None, fresh: bool = False
) -> Speech:
    """Speak a text: a WAV file, and the time of each word.

    `language` is a code such as it, pt-BR or zh-Hant; without one the text tells whether it is en, de, fr or es.
    """
    current_job().progress(5, "speaking")
    with unit_of_work() as unit, work_folder() as folder:
        file = folder / "speech.wav"
        speaks = speaker(provider, fresh=fresh)
        spoken = speaks.speak(text, language or spoken_language(plain_text(text)), file)
        uri = unit.publish(file, "speech.wav")
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
    with unit_of_work() as unit, work_folder() as folder:
        file = folder / "clip.mp4"
        still = None if image is None else ArtifactStore().fetch(image, folder)
        films = film_maker(provider, fresh=fresh)
        films.film(prompt, still, duration, SIZES[aspect], file)
        found = probe(file)
        uri = unit.publish(file, "clip.mp4")
    return Clip(uri=uri, seconds=found.seconds, width=found.width, height=found.height, provider=films.name)


@task(gpu=GPU_SHARE, retry=STEADY)
def render_scene(timeline: Timeline, part: int = 0, first_place: int = 0) -> RenderedScene:
    """Render one part of a timeline, its `part`-th from 0, and keep it for the composition.

    A part is a scene or a crossfade between two. Parts are rendered as soon as their pictures and narration are there,
    side by side on the nodes of the media queue. `first_place`: that of the first scene in the whole video, from 0, by
    which messages call it.
    """
    job = current_job()
    job.progress(1, "fetching the picture")
    with work_folder() as folder:
        parts = parts_of(fetched(timeline, folder), first_place)
        if not 0 <= part < len(parts):
            raise PermanentError(f"the timeline has {len(parts)} parts, so there is no part {part}")
        wanted = parts[part]
        told = f"{wanted.told()}: frame {{}} of {wanted.frames}"
        file, encoder, was_kept = render_part(
            wanted,
            folder,
            KeptArtifacts(),
            lambda share: job.progress(2 + share * 96, told.format(round(share * wanted.frames))),
        )
    return RenderedScene(part=file.name, seconds=wanted.seconds, was_kept=was_kept, encoder=encoder.name)


@task(gpu=GPU_SHARE, retry=STEADY)
def compose_final_video(
    scenes: list[SceneMedia],
    aspect: Aspect = "9:16",
    captions: bool = True,
    caption_style: CaptionStyle = "highlight",
    platform: str = DEFAULT_PLATFORM,
    crossfade: Crossfade = 0.0,
    fit: Fit = "crop",
    music: Music | None = None,
    pacing: list[float] | None = None,
    arc: list[float] | None = None,
    asked_seconds: float | None = None,
) -> Video:
    """Compose scenes into one captioned, mastered MP4, and check the file.

    What `render_scene` has rendered is joined without encoding. `pacing` (words a minute, by scene) and `arc` (valence)
    are shown in the report; a length far from `asked_seconds` is told there. A video that fails the quality gate is a
    PermanentError that says which scene and why.
    """
    if not scenes:
        raise PermanentError("a video needs at least one scene")
    look = Look(aspect, captions, caption_style, platform_named(platform, aspect), crossfade, fit, music)
    return _composed(timeline_of(scenes, look), pacing, arc, asked_seconds)


@task(gpu=GPU_SHARE, retry=STEADY)
def compose_timeline(timeline: Timeline) -> Video:
    """Compose a timeline, such as the edited `timeline.json` of a video, and check the file.

    Only what was changed is rendered. `render_timeline` renders its parts side by side on the cluster first.
    """
    return _composed(timeline)


def _composed(
    timeline: Timeline,
    pacing: list[float] | None = None,
    arc: list[float] | None = None,
    asked: float | None = None,
) -> Video:
    job = current_job()
    job.progress(1, "fetching pictures and narration")
    frames = timeline.frames
    with unit_of_work() as unit, work_folder() as folder:
        local = fetched(timeline, folder)
        file = folder / "video.mp4"
        made = compose(
            local,
            file,
            lambda share: job.progress(2 + share * 88, f"frame {round(share * frames)} of {frames}"),
            KeptArtifacts(),
        )
        checking = "checking the finished video"
        report = examine(
            file,
            local,
            arc=arc,
            pacing=pacing,
            asked=asked,
            progress=lambda share: job.progress(90 + share * 8, checking),
        )
        captions = captions_of_timeline(timeline) if timeline.captions else []
        written = {
            "report.json": report.model_dump_json(indent=2),
            "report.html": page(report),
            "captions.srt": to_srt(captions),
            "captions.vtt": to_vtt(captions),
            "timeline.json": timeline.model_dump_json(indent=2),
        }
        kept = {}
        for beside, text in written.items():
            (folder / beside).write_text(text, "utf-8")
            kept[beside] = unit.publish(folder / beside, beside, even_if_failed=True)
        demand(report)
        uri = unit.publish(file, "video.mp4")
    return Video(
        uri=uri,
        captions_srt=kept["captions.srt"],
        captions_vtt=kept["captions.vtt"],
        timeline=kept["timeline.json"],
        seconds=timeline.seconds,
        width=timeline.width,
        height=timeline.height,
        renderer=", ".join(made.renderers),
        encoder=made.encoder,
        parts=made.parts,
        parts_kept=made.kept,
        quality=summary(report, kept["report.json"], kept["report.html"]),
    )
