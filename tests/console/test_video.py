"""A finished video in the console: its report, plots, scenes and formats, and the report of one that did not pass."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.console.phone import fits_a_phone
from tests.console.pictures import shots
from ytray import Job, job_tracker
from ytray.artifacts import ArtifactStore, attempt_folder
from ytray.engine.state.store import Store
from ytray.studio.model import Scene, Video
from ytray.studio.platforms import PRESETS
from ytray.studio.providers import painter, speaker
from ytray.studio.render.export import CODECS
from ytray.studio.render.timeline import Effect, Music, Timeline, TimelineScene
from ytray.tasks.processing import export_video, render_timeline

Until = Callable[..., None]

SCENES = (("Cats purr.", "cats"), ("Nobody knows how.", "ocean"), ("Listen tonight.", "mountains at night"))


@pytest.fixture(scope="module")
def timeline(system: Store, tmp_path_factory: pytest.TempPathFactory) -> Timeline:
    """Three small and short scenes: the first fades into the second, the third has an effect."""
    folder, store, scenes = tmp_path_factory.mktemp("scenes"), ArtifactStore(), []
    for place, (text, subject) in enumerate(SCENES):
        picture, wav = folder / f"{place}.jpg", folder / f"{place}.wav"
        painter().draw(Scene(narration="", subject=subject, mood="bright"), "test", (216, 384), picture)
        spoken = speaker().speak(text, "en", wav)
        scenes.append(
            TimelineScene(
                picture=store.publish(picture, "scenes-of-tests", picture.name),
                narration=store.publish(wav, "scenes-of-tests", wav.name),
                words=spoken.words,
                seconds=round(spoken.seconds, 1),
                motion=("in", "left", "right")[place],
                crossfade=(0.3, 0, 0)[place],
                effects=[Effect(name="BlackAndWhite")] if place == 2 else [],
            )
        )
    return Timeline(width=216, height=384, scenes=scenes, music=Music(mood="warm"), caption_style="pill")


@pytest.fixture(scope="module")
def film(timeline: Timeline) -> Job[Video]:
    """A job that rendered it."""
    job = render_timeline.delay(timeline=timeline)
    job.get(timeout=60)
    return job


def test_a_rendered_timeline_is_shown_with_its_report_plots_and_scenes(
    page: Page, film: Job[Video], timeline: Timeline
) -> None:
    made = film.get()
    page.goto(f"#/jobs/{film.id}")
    expect(page.locator("[data-test=verdict]")).to_contain_text(re.compile(r"Checked: \d+ of \d+ passed"))
    expect(page.locator("[data-test=verdict]")).to_contain_text(
        re.compile(r"Loudness −1\d\.\d LUFS, peak −\d+\.\d dBTP")
    )
    told = f"Rendered by ffmpeg, moviepy, encoded by {made.encoder}; 0 of {made.parts} parts were kept"
    expect(page.locator("[data-test=makers]")).to_contain_text(told)
    # What passed is folded, what warns is open.
    warnings = page.locator("[data-test=checks-open] tbody tr")
    expect(warnings).to_have_count(len(made.quality.warnings))
    expect(page.locator("[data-test=checks-passed]")).to_be_hidden()
    page.locator("summary", has_text=re.compile(r"^\d+ passed$")).click()
    expect(page.locator("[data-test=checks-passed]")).to_contain_text("Loudness")
    plots = page.locator("[data-test=plots]")
    expect(plots.locator("[data-lane=loudness] .band")).to_be_attached()
    expect(plots.locator("[data-lane=cuts]")).to_contain_text("Cuts:")
    assert plots.locator("[data-test=caption-speed]").count() >= 3
    expect(page.locator("[data-test=pacing] rect.column").first).to_be_visible()
    scenes = page.locator("[data-test=scene]")
    expect(scenes).to_have_count(3)
    whole = page.locator("[data-test=scenes]").bounding_box()
    third = scenes.nth(2).bounding_box()
    assert whole is not None
    assert third is not None
    assert third["width"] / whole["width"] == pytest.approx(timeline.scenes[2].seconds / timeline.seconds, abs=0.03)
    first = scenes.nth(0)
    assert re.search(
        "picture.*zooms in.*fades into the next over 0.3 s.*Cats purr", first.get_attribute("aria-label") or ""
    )
    expect(first.locator(".wedge")).to_be_visible()
    expect(scenes.nth(2)).to_contain_text("fx")
    about = page.locator("[data-test=timeline-about]")
    expect(about).to_contain_text("Music: warm, 10 LU below the voice")
    expect(about).to_contain_text("Captions: pill. For YouTube Shorts.")
    expect(about).to_contain_text("ytray render timeline.json")
    expect(page.locator("[data-test=timeline-file]")).to_have_attribute("href", re.compile("/timeline.json$"))
    shots(page, "rendered")
    fits_a_phone(page)


def test_a_scene_and_a_plot_seek_the_player(page: Page, film: Job[Video], timeline: Timeline) -> None:
    page.goto(f"#/jobs/{film.id}")
    scenes, told = page.locator("[data-test=scene]"), page.locator("[data-test=scene-told]")
    starts = timeline.starts()

    def plays_from(second: float) -> None:
        page.wait_for_function(
            "(second) => Math.abs(document.querySelector('[data-test=video]').currentTime - second) < 0.05", arg=second
        )

    expect(scenes.nth(0)).to_have_attribute("aria-current", "true")
    expect(told).to_contain_text("Cats purr.")
    scenes.nth(2).hover()
    expect(told).to_contain_text("Listen tonight.")
    page.locator("[data-test=verdict]").hover()
    expect(told).to_contain_text("Cats purr.")
    scenes.nth(2).click()
    plays_from(starts[2])
    expect(scenes.nth(2)).to_have_attribute("aria-current", "true")
    expect(page.locator("[data-test=scene][aria-current]")).to_have_count(1)
    expect(told).to_contain_text("Scene 3 of 3")
    expect(told).to_contain_text("effects: BlackAndWhite")
    # By keyboard: the arrows go from scene to scene, Enter goes there.
    page.keyboard.press("ArrowLeft")
    expect(scenes.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    plays_from(starts[1])
    plots = page.locator("[data-test=plots]")
    box = plots.bounding_box()
    assert box is not None
    plots.click(position={"x": box["width"] / 4, "y": 60})
    plays_from(timeline.seconds / 4)
    share = page.locator(".deck").evaluate("(deck) => parseFloat(deck.style.getPropertyValue('--at'))")
    assert share == pytest.approx(25, abs=2)
    page.locator("[data-test=pacing] g").nth(2).click()
    plays_from(starts[2])


def test_another_format_is_made_and_can_be_downloaded(page: Page, api_url: str, film: Job[Video], until: Until) -> None:
    page.goto(f"#/jobs/{film.id}")
    exports = page.locator("[data-test=export]")
    expect(exports).to_have_count(1)
    form, codec, platform = (page.locator(f"[data-test=export-{name}]") for name in ("format", "codec", "platform"))
    assert set(form.locator("option").all_text_contents()) == set(CODECS)
    for name, codecs in CODECS.items():
        form.select_option(name)
        offered = codec.locator("option").all_text_contents()
        assert offered == (list(codecs) if len(codecs) > 1 else [])
        expect(codec).to_be_visible(visible=bool(offered))
    assert platform.locator("option").all_text_contents()[1:] == [preset.title for preset in PRESETS.values()]
    platform.select_option("tiktok")
    expect(form).to_be_disabled()
    expect(form).to_have_value("mp4")
    expect(codec).to_be_disabled()
    platform.select_option("")
    form.select_option("webm")
    codec.select_option("av1")
    page.click("[data-test=export-make]")
    made = exports.nth(1)
    expect(made).to_contain_text("webm · av1")
    link = made.locator("[data-test=export-file]")
    expect(link).to_be_visible(timeout=30_000)
    file = httpx.get(f"{api_url}{link.get_attribute('href')}")
    assert file.content[:4] == b"\x1a\x45\xdf\xa3"  # Matroska, as WebM is
    # Whoever comes back finds it.
    page.reload()
    expect(exports).to_have_count(2)
    with page.expect_download() as caught:
        link.click()
    assert caught.value.suggested_filename == "video-av1.webm"
    # One that fails says why.
    noted = {"video_job": film.id, "format": "gif"}
    failing = export_video.options(metadata=noted).delay(video="/nowhere/video.mp4", format="gif")
    until(lambda: failing.status().current_state == "FAILED")
    page.reload()
    expect(exports).to_have_count(3)
    expect(exports.nth(2)).to_contain_text("gif")
    expect(exports.nth(2).locator(".error")).to_contain_text("/nowhere/video.mp4 is not an artifact")
    failing_link = exports.nth(2).get_by_role("link", name="Job")
    expect(failing_link).to_have_attribute("href", f"#/jobs/{failing.id}")


def test_who_may_not_submit_is_offered_no_other_format(page: Page, film: Job[Video]) -> None:
    def only_reads(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "scopes": ["read"]})

    page.route("**/api/system", only_reads)
    page.goto(f"/#/jobs/{film.id}")
    page.reload()
    expect(page.locator("[data-test=export-file]").first).to_be_visible()
    expect(page.locator("[data-test=export-make]")).to_have_count(0)


def test_what_did_not_pass_is_shown_with_its_report(
    page: Page, film: Job[Video], timeline: Timeline, until: Until
) -> None:
    short = timeline.model_copy(update={"scenes": timeline.scenes[1:], "platform": "tiktok"})
    assert short.seconds < PRESETS["tiktok"].least_seconds
    job = render_timeline.delay(timeline=short)
    until(lambda: job.status().current_state == "FAILED", 60)
    (composing,) = [step for step in job_tracker.children(job.id) if step.task_name == "compose_timeline"]
    for shown in (job.id, composing.job_id):
        page.goto(f"#/jobs/{shown}")
        expect(page.locator("[data-test=error]")).to_contain_text("quality gate")
        expect(page.locator("[data-test=verdict]")).to_contain_text("1 failed")
        first = page.locator("[data-test=checks-open] tbody tr").first
        expect(first.locator(".state")).to_have_text("failed")
        expect(first).to_contain_text("TikTok does not take a video of")
        expect(page.locator("[data-test=caption-speed]").first).to_be_visible()
        expect(page.locator("[data-test=scene]")).to_have_count(2)
        expect(page.locator("[data-test=report-page]")).to_have_attribute("href", re.compile("/report.html$"))
        expect(page.locator("[data-test=video]")).to_have_count(0)
        expect(page.locator("[data-test=export]")).to_have_count(0)
    shots(page, "not-passed")
    fits_a_phone(page)


def test_the_reports_own_page_opens_and_runs_nothing(
    browser: Browser, page: Page, api_url: str, film: Job[Video], tmp_path: Path
) -> None:
    page.goto(f"#/jobs/{film.id}")
    with page.context.expect_page() as opened:
        page.click("[data-test=report-page]")
    report = opened.value
    expect(report.locator("h1")).to_be_visible()
    assert report.locator("main").evaluate("(main) => getComputedStyle(main).maxWidth") == "1040px"
    # Another job's file could hold anything: it neither runs nor reaches the API.
    file = tmp_path / "evil.html"
    file.write_text(
        """<!DOCTYPE html><title>quiet</title><style>p { color: rgb(1, 2, 3) }</style><p>Text
        <script>document.title = "ran"; fetch("/api/jobs");</script>
        <img src="/api/jobs" onerror="document.title = 'ran'">
        <form action="/api/session" method="post"><button>Go</button></form>"""
    )
    ArtifactStore().publish(file, attempt_folder(film.id, 1), file.name)
    strange = browser.new_context(base_url=api_url).new_page()
    answered: list[str] = []
    strange.on("response", lambda answer: answered.append(answer.url))
    strange.goto(f"/api/jobs/{film.id}/artifacts/evil.html")
    assert strange.locator("p").evaluate("(text) => getComputedStyle(text).color") == "rgb(1, 2, 3)"
    strange.click("button")
    assert strange.title() == "quiet"
    assert [url.rpartition("/")[2] for url in answered] == ["evil.html"]
    strange.context.close()


def test_the_create_form_says_how_the_video_is_to_look(page: Page) -> None:
    page.goto("#/create")
    page.fill("[data-test=create-prompt]", "Why do cats purr?")
    assert brief_of(page) == {"caption_style": "highlight", "platform": "youtube_shorts", "music": True, "crossfade": 0}
    # A video lying on its side is for YouTube, until somebody says otherwise.
    page.goto("#/jobs")
    page.goto("#/create")
    page.fill("[data-test=create-prompt]", "Why do cats purr?")
    page.select_option("[data-test=create-aspect]", "16:9")
    expect(page.locator("[data-test=create-platform]")).to_have_value("youtube")
    page.select_option("[data-test=create-platform]", "reels")
    page.select_option("[data-test=create-aspect]", "9:16")
    page.select_option("[data-test=create-caption-style]", "boxed")
    page.uncheck("[data-test=create-music]")
    page.locator("[data-test=create-crossfade]").fill("0.4")
    fits_a_phone(page)
    assert brief_of(page) == {"caption_style": "boxed", "platform": "reels", "music": False, "crossfade": 0.4}


def brief_of(page: Page) -> dict[str, Any]:
    """Send the form; what it said of how the video is to look. The API has taken it, and the job is cancelled."""
    with page.expect_request(re.compile(r"/api/videos$")) as sent:
        page.click("[data-test=create-submit]")
    expect(page).to_have_url(re.compile(r"#/jobs/\w+"))
    job_tracker.cancel(page.url.rpartition("/")[2])
    brief = json.loads(sent.value.post_data or "{}")
    return {name: brief[name] for name in ("caption_style", "platform", "music", "crossfade")}
