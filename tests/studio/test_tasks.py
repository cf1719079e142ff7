"""The built-in tasks, called as functions and run as jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.studio.measure import frames, loudness
from ytray import JobFailed
from ytray.artifacts import ArtifactStore
from ytray.cli.batch_files import fetch_files
from ytray.cli.inside import Inside
from ytray.engine.jobs.tracking import job_tracker
from ytray.engine.state.store import Store
from ytray.errors import InvalidArguments, PermanentError
from ytray.studio.model import Brief, SceneMedia, Script
from ytray.studio.render.probe import probe
from ytray.studio.render.quality.report import QualityReport
from ytray.studio.render.timeline import Timeline
from ytray.tasks import generation, media, processing


def test_a_video_is_made_by_plain_calls(home: Path, tmp_path: Path, small_pictures: None) -> None:
    assert home.is_dir()
    hook = generation.generate_hook(prompt="why the sea is salty")
    script = generation.generate_script(prompt="why the sea is salty", hook=hook.text, duration=5)
    scenes = [
        SceneMedia(
            picture=media.generate_image_imagen(scene=scene, seed="s", aspect="1:1").uri,
            speech=media.generate_audio_tts(text=scene.narration, language=script.language),
        )
        for scene in script.scenes
    ]
    video = media.compose_final_video(scenes=scenes, aspect="1:1")
    found = probe(ArtifactStore().fetch(video.uri, tmp_path))
    assert (found.width, found.height) == (270, 270)
    assert found.seconds == pytest.approx(video.seconds, abs=0.1)
    srt = ArtifactStore().fetch(video.captions_srt, tmp_path).read_text()
    shown = " ".join(line for line in srt.splitlines() if line and "-->" not in line and not line.isdigit())
    assert shown == script.text


def test_an_edited_timeline_renders_only_the_scene_that_was_changed(
    home: Path, tmp_path: Path, small_pictures: None
) -> None:
    script = generation.generate_script(prompt="why cats purr", duration=8)
    scenes = [
        SceneMedia(
            picture=media.generate_image_imagen(scene=scene, aspect="1:1").uri,
            speech=media.generate_audio_tts(text=scene.narration),
        )
        for scene in script.scenes[:2]
    ]
    store, kept = ArtifactStore(), home / "artifacts"
    before = media.compose_final_video(scenes=scenes, aspect="1:1")
    rendered = set(kept.glob("scene-*"))
    timeline = Timeline.model_validate_json(store.fetch(before.timeline, tmp_path).read_text())
    timeline.scenes[1].words[0].text = "Hey,"
    after = media.compose_timeline(timeline=timeline)
    assert len(set(kept.glob("scene-*")) - rendered) == 1
    assert "Hey," in store.fetch(after.captions_srt, tmp_path).read_text()
    assert store.fetch(after.captions_vtt, tmp_path).read_text().startswith("WEBVTT\n\n00:00:0")
    old, new = (frames(store.fetch(made.uri, tmp_path), 5, 108, 108).astype(int) for made in (before, after))
    first = int(timeline.scenes[0].length * 5)
    assert (old[:first] == new[:first]).all()
    assert (old[first + 1 :] != new[first + 1 :]).any()


def test_composition_without_scenes_is_refused(home: Path) -> None:
    assert home.is_dir()
    with pytest.raises(PermanentError, match="at least one scene"):
        media.compose_final_video(scenes=[])


def test_a_clip_is_made_from_a_prompt_alone(home: Path, tmp_path: Path, small_pictures: None) -> None:
    assert home.is_dir()
    clip = media.generate_video_veo(prompt="a city at night", duration=4, aspect="1:1")
    found = probe(ArtifactStore().fetch(clip.uri, tmp_path))
    assert found.seconds == pytest.approx(4, abs=0.05)
    assert (found.width, found.height) == (270, 270)


def test_one_sentence_becomes_a_finished_video_through_the_engine(system: Store, tmp_path: Path) -> None:
    assert system is not None
    job = processing.create_video.delay(prompt="why cats purr", duration=6, formats=["mp4", "gif"])
    made = job.get(timeout=150)
    store = ArtifactStore()
    video = store.fetch(made.video.uri, tmp_path)
    found = probe(video)
    assert (found.width, found.height, found.video_codec, found.audio_codec) == (270, 480, "h264", "aac")
    assert 4 < found.seconds < 12
    integrated, peak = loudness(video)
    assert integrated == pytest.approx(-14, abs=1)
    assert peak <= -1
    assert min(frame.mean() for frame in frames(video, 2)) > 20
    assert [exported.format for exported in made.exports] == ["mp4", "gif"]
    for uri in (made.thumbnails.landscape, made.thumbnails.portrait, *(exported.uri for exported in made.exports)):
        assert store.fetch(uri, tmp_path).stat().st_size > 5_000
    assert made.video.quality.passed
    assert made.video.quality.loudness_lufs == pytest.approx(integrated, abs=0.3)
    report = QualityReport.model_validate_json(store.fetch(made.video.quality.report, tmp_path).read_text())
    assert report.curves.arc == made.emotional_arc.valence
    assert store.fetch(made.video.quality.page, tmp_path).read_text().startswith("<!DOCTYPE html>")
    assert isinstance(made.script, Script)
    assert made.pacing.in_target
    steps = job_tracker.children(job.id)
    assert {step.task_name for step in steps} >= {
        "generate_hook",
        "generate_script",
        "generate_image_imagen",
        "generate_audio_tts",
        "render_scene",
        "compose_final_video",
        "generate_thumbnail",
        "export_video",
    }
    assert {step.current_state for step in steps} == {"COMPLETED"}


def test_a_prompt_that_cannot_be_drawn_fails_before_anything_is_rendered(system: Store) -> None:
    assert system is not None
    job = processing.create_video.delay(prompt="what the sign 𰀀 means", duration=6)
    with pytest.raises(JobFailed, match=r"U\+30000"):
        job.get(timeout=60)
    assert {step.task_name for step in job_tracker.children(job.id)} == {"generate_hook", "generate_script"}


def test_a_batch_goes_on_when_one_of_its_items_fails(system: Store, tmp_path: Path) -> None:
    assert system is not None
    items = ["🦈🦈🦈", Brief(prompt="tea", aspect="1:1", duration=5)]
    outcome = processing.process_batch.delay(items=items).get(timeout=170)
    assert (outcome.completed, outcome.failed) == (1, 1)
    assert outcome.videos[0] is None
    assert "no words" in (outcome.errors[0] or "")
    assert (outcome.videos[1] or "").endswith("video.mp4")
    (video,) = fetch_files(Inside(), outcome.batch_id, tmp_path / "out")
    assert probe(video).width == probe(video).height
    assert {file.suffix for file in (tmp_path / "out").iterdir()} == {".mp4", ".srt", ".jpg", ".html", ".json"}
    made = video.stat().st_mtime_ns
    assert fetch_files(Inside(), outcome.batch_id, tmp_path / "out") == [video]
    assert video.stat().st_mtime_ns == made


def test_a_picture_is_made_of_a_plain_prompt(home: Path, tmp_path: Path) -> None:
    assert home.is_dir()
    of_cat, of_sea = (media.generate_image_imagen(prompt=prompt) for prompt in ("a sleeping cat", "a stormy sea"))
    cat, sea = (ArtifactStore().fetch(made.uri, tmp_path).read_bytes() for made in (of_cat, of_sea))
    assert (of_cat.width, of_cat.height) == (1350, 2400)
    assert cat[:2] == b"\xff\xd8"
    assert cat != sea


@pytest.mark.parametrize(
    "wrong", [{}, {"prompt": "a cat", "scene": {"narration": "a", "subject": "b", "mood": "calm"}}]
)
def test_a_picture_is_of_a_scene_or_of_a_prompt_and_not_of_both(system: Store, wrong: dict[str, Any]) -> None:
    assert system is not None
    with pytest.raises(InvalidArguments, match="either a scene or a prompt"):
        media.generate_image_imagen.delay(**wrong)
    with pytest.raises(PermanentError, match="either a scene or a prompt"):
        media.generate_image_imagen(**wrong)


def test_a_plain_text_is_measured_as_a_script(home: Path) -> None:
    assert home.is_dir()
    text = "Cats purr when they rest. Cats purr when they heal. A cat is a small tiger."
    by_sentence = generation.analyze_pacing(script=text)
    by_paragraph = generation.analyze_pacing(script="Cats purr. They rest.\n\nCats purr. They heal.\n")
    assert (len(by_sentence.by_scene), len(by_paragraph.by_scene)) == (3, 2)
    assert (
        generation.validate_coherence(script=text).score > generation.validate_coherence(script=text, topic="tax").score
    )
    assert len(generation.track_emotional_arc(script=text).valence) == 3


def test_a_text_in_which_nothing_is_said_is_no_script(home: Path) -> None:
    assert home.is_dir()
    with pytest.raises(PermanentError, match="script is empty"):
        generation.analyze_pacing(script=" \n ")


@pytest.mark.parametrize("wrong", [{"duration": 4}, {"aspect": "3:2"}, {"formats": ["avi"]}, {"prompt": "x"}])
def test_a_brief_that_cannot_work_reaches_no_queue(system: Store, wrong: dict[str, object]) -> None:
    assert system is not None
    before = len(job_tracker.list_jobs(limit=1000))
    with pytest.raises(InvalidArguments):
        processing.create_video.delay(**{"prompt": "a good prompt", **wrong})
    assert len(job_tracker.list_jobs(limit=1000)) == before
