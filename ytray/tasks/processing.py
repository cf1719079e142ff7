"""The tasks and flows of the `batch` queue: whole videos, batches of them, exports, thumbnails, and clean-up."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from ytray import current_job, flow, task, unit_of_work
from ytray.artifacts import ArtifactStore
from ytray.engine.batch.costs import ITEM_COSTS
from ytray.engine.control.retention import Kind, cleanup
from ytray.engine.jobs.flow import in_slices
from ytray.errors import PermanentError
from ytray.settings import ProviderName
from ytray.spend.budgets import set_flow_budget
from ytray.studio.estimate import estimate
from ytray.studio.markup import plain_text
from ytray.studio.model import (
    Aspect,
    BatchOutcome,
    Brief,
    Budget,
    CaptionStyle,
    CleanedUp,
    Codec,
    Concurrency,
    Crossfade,
    Duration,
    Exported,
    FinishedVideo,
    Format,
    Formats,
    Mix,
    Prompt,
    Removed,
    Scene,
    SceneMedia,
    Thumbnails,
    Video,
)
from ytray.studio.platforms import DEFAULT_PLATFORM, Platform, platform_named
from ytray.studio.render import export
from ytray.studio.render.parts import split
from ytray.studio.render.text.fonts import check_drawable
from ytray.studio.render.thumbnail import thumbnails
from ytray.studio.render.timeline import Look, Music, Timeline, timeline_of
from ytray.studio.render.work import work_folder
from ytray.tasks.generation import (
    analyze_pacing,
    generate_hook,
    generate_script,
    track_emotional_arc,
    validate_coherence,
)
from ytray.tasks.healing import STEADY
from ytray.tasks.media import (
    compose_final_video,
    compose_timeline,
    generate_audio_tts,
    generate_image_imagen,
    render_scene,
)


@task(retry=STEADY)
def export_video(video: str, format: Format, codec: Codec | None = None, platform: Platform | None = None) -> Exported:
    """Write a video (an artifact URI) in another format.

    `codec` is chosen where a format has several; `platform` makes a file that the platform takes, or says why not.
    """
    job = current_job()
    with unit_of_work() as unit, work_folder() as folder:
        file = folder / f"export.{format}"
        source = ArtifactStore().fetch(video, folder)
        told = f"encoding {format}"
        export.export(
            source, format, file, codec=codec, platform=platform, progress=lambda share: job.progress(share * 98, told)
        )
        size = file.stat().st_size
        kind = "-".join(part for part in ("video", platform, codec) if part)
        uri = unit.publish(file, f"{kind}.{format}")
    return Exported(uri=uri, format=format, size_bytes=size, codec=codec, platform=platform)


@task(retry=STEADY)
def generate_thumbnail(video: str, title: str) -> Thumbnails:
    """Make thumbnails of a video (an artifact URI) with its title on its best frame."""
    current_job().progress(5, "looking for the best frame")
    with unit_of_work() as unit, work_folder() as folder:
        landscape, portrait = folder / "thumbnail-1280x720.jpg", folder / "thumbnail-1080x1920.jpg"
        thumbnails(ArtifactStore().fetch(video, folder), plain_text(title), landscape, portrait, folder)
        return Thumbnails(
            landscape=unit.publish(landscape, landscape.name),
            portrait=unit.publish(portrait, portrait.name),
        )


@task(public=False)
def cleanup_old_results(dry_run: bool = False, kinds: list[Kind] | None = None) -> CleanedUp:
    """Delete what has been kept long enough, of these kinds or of all. Runs by schedule (YTRAY_CLEANUP_CRON)."""
    cleaned = cleanup(dry_run=dry_run, kinds=kinds)
    return CleanedUp(
        jobs_removed=cleaned.jobs_removed,
        dry_run=dry_run,
        kinds={kind: Removed(count=told.count, size_bytes=told.size_bytes) for kind, told in cleaned.kinds.items()},
    )


@flow(queue="media", retry=STEADY)
async def render_timeline(timeline: Timeline) -> Video:
    """Render a timeline, such as the edited `timeline.json` of a video; only what was changed is rendered.

    Its scenes and crossfades are jobs, side by side on the nodes of the media queue.
    """
    await _rendered(timeline)
    current_job().progress(80, "composing the video")
    return await compose_timeline.delay(timeline=timeline)


async def _rendered(timeline: Timeline, first_place: int = 0) -> None:
    """Have every part of a timeline rendered and kept; `first_place` is that of its first scene in the whole video."""
    await in_slices(
        render_scene,
        (
            {"timeline": one.timeline, "part": one.part, "first_place": one.first_place}
            for one in split(timeline, first_place)
        ),
    )


@flow(retry=STEADY)
async def create_video(
    prompt: Prompt,
    aspect: Aspect = "9:16",
    duration: Duration = 30,
    formats: Formats = ["mp4"],  # noqa: B006  # the default is published in the JSON Schema and never changed
    genre: str = "general",
    platform: str = DEFAULT_PLATFORM,
    provider: ProviderName | Mix | None = None,
    fresh: bool = False,
    budget_usd: Budget | None = None,
    caption_style: CaptionStyle = "highlight",
    music: bool = True,
    crossfade: Crossfade = 0.0,
) -> FinishedVideo:
    """From a brief to a finished video: hook, script, pictures and narration, composition, thumbnails, exports.

    `platform` decides where captions may stand and what the video is checked against; `music` is a bed under the
    voice; over the last `crossfade` seconds of a scene the next one fades in. `provider` names who makes it, for all of
    it or for each kind of work; `fresh` pays again for what was bought before; `budget_usd` is the most that it may
    cost.
    """
    brief = Brief(
        prompt=prompt,
        aspect=aspect,
        duration=duration,
        formats=list(dict.fromkeys(formats)),
        genre=genre,
        platform=platform,
        provider=provider,
        fresh=fresh,
        budget_usd=budget_usd,
        caption_style=caption_style,
        music=music,
        crossfade=crossfade,
    )
    job, mix = current_job(), brief.mix
    if job.store is not None and brief.budget_usd is not None:
        set_flow_budget(job.store, job.id, brief.budget_usd)
    job.progress(1, "writing the hook")
    hook = await generate_hook.delay(
        prompt=brief.prompt, genre=brief.genre, platform=brief.platform, provider=mix.text, fresh=fresh
    )
    job.progress(5, "writing the script")
    script = await generate_script.delay(
        prompt=brief.prompt, hook=hook.text, duration=brief.duration, provider=mix.text, fresh=fresh
    )
    # Before the work, not when the captions are drawn. In a thread: a first look at the fonts takes a while.
    await asyncio.to_thread(check_drawable, f"{script.title} {script.text}")

    bed = Music(mood=script.mood) if brief.music else None
    named = platform_named(brief.platform, brief.aspect)
    look = Look(
        aspect=brief.aspect, caption_style=brief.caption_style, platform=named, crossfade=brief.crossfade, music=bed
    )
    job.progress(10, f"drawing, speaking and rendering {len(script.scenes)} scenes")

    async def media_of(place: int, scene: Scene) -> SceneMedia:
        picture, speech = await asyncio.gather(
            generate_image_imagen.delay(
                scene=scene, seed=brief.prompt, aspect=brief.aspect, provider=mix.image, fresh=fresh
            ),
            generate_audio_tts.delay(text=scene.narration, language=script.language, provider=mix.speech, fresh=fresh),
        )
        media = SceneMedia(picture=picture.uri, speech=speech)
        if not look.crossfade:  # a scene that fades into the next has to wait for that one's picture
            await _rendered(timeline_of([media], look, place=place), place)
        return media

    (coherence, arc), scenes = await asyncio.gather(
        asyncio.gather(
            validate_coherence.delay(script=script), track_emotional_arc.delay(script=script, provider=mix.text)
        ),
        asyncio.gather(*(media_of(place, scene) for place, scene in enumerate(script.scenes))),
    )
    if look.crossfade:
        await _rendered(timeline_of(scenes, look))
    pacing = await analyze_pacing.delay(script=script, speeches=[scene.speech for scene in scenes], provider=mix.text)
    job.progress(75, "composing the video")
    video = await compose_final_video.delay(
        scenes=scenes,
        aspect=brief.aspect,
        caption_style=brief.caption_style,
        platform=named,
        crossfade=brief.crossfade,
        music=bed,
        pacing=pacing.by_scene,
        arc=arc.valence,
        asked_seconds=brief.duration,
    )
    job.progress(85, "thumbnails and exports")
    thumbnails, *exports = await asyncio.gather(
        generate_thumbnail.delay(video=video.uri, title=script.title),
        *(export_video.delay(video=video.uri, format=form) for form in brief.formats),
    )
    return FinishedVideo(
        video=video,
        exports=exports,
        thumbnails=thumbnails,
        hook=hook,
        script=script,
        cost_usd=0.0 if job.store is None else job.store.status(job.id).cost_usd,
        coherence=coherence,
        pacing=pacing,
        emotional_arc=arc,
    )


@flow(retry=STEADY)
async def process_batch_item(item: Brief) -> FinishedVideo:
    """Make the video of one item of a batch, as `create_video` does."""
    made: Any = create_video(**item.model_dump())  # called, not submitted: the steps and the progress are this job's
    return cast("FinishedVideo", await made)


@flow(retry=STEADY)
async def process_batch(
    items: list[Brief | Prompt], budget_usd: Budget | None = None, concurrency: Concurrency | None = None
) -> BatchOutcome:
    """Make a video of each item (a brief, or a prompt alone), as a batch; one that fails does not stop the others.

    All may cost `budget_usd` together, and `concurrency` of them are in the making at once. The batch can be looked at,
    paused and resumed by itself; a large one is better made of a file (`ytray batch run`).
    """
    # Only here: each worker imports this module before its first job, and few ever make a batch.
    from ytray.tasks.batch import run_batch

    job = current_job()
    if job.store is None:
        raise PermanentError("a batch needs a running system: submit process_batch with .delay")
    briefs = [item if isinstance(item, Brief) else Brief(prompt=item) for item in items]
    return await run_batch(job, job.store, briefs, budget_usd=budget_usd, concurrency=concurrency)


def _costs(arguments: dict[str, Any]) -> tuple[float, float]:
    found = estimate(Brief.model_validate(arguments["item"]))
    return found.likely_usd, found.most_usd


ITEM_COSTS[process_batch_item.name] = _costs
