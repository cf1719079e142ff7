"""The console in a real Chromium: submit, watch, play, fail, replay, cancel."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.console.phone import fits_a_phone
from tests.console.pictures import shot, shots
from tests.serve.tasks_for_serve import blocked, film
from ytray import dlq, job_tracker
from ytray.api.keys import KeyRing
from ytray.engine.state.store import Store
from ytray.system.parts import Part

Until = Callable[..., None]


def test_a_sentence_becomes_a_video_that_plays_in_the_page(page: Page) -> None:
    page.click("[data-test=nav-create]")
    page.fill("[data-test=create-prompt]", "Why do cats purr?")
    page.locator("[data-test=create-duration]").fill("10")
    expect(page.locator("[data-test=cost]")).to_contain_text("$0.00")
    shot(page, "create")
    page.click("[data-test=create-submit]")
    expect(page).to_have_url(re.compile(r"#/jobs/\w+"))
    expect(page.locator("h1")).to_contain_text("create_video")
    expect(page.locator("[data-test=flow-node]").first).to_be_visible(timeout=30_000)
    expect(page.locator("[data-test=flow-node]", has_text="compose_final_video")).to_be_visible(timeout=60_000)
    shot(page, "flow")
    video = page.locator("[data-test=video]")
    expect(video).to_be_visible(timeout=120_000)
    expect(page.locator("h1 [data-test=job-state]")).to_have_text("completed")
    expect(page.locator("[data-test=captions] li").first).to_have_text("Why do cats purr?")
    expect(page.locator("[data-test=arc] polyline")).to_be_visible()
    expect(page.locator("[data-test=pacing] rect.column").first).to_be_visible()
    expect(page.locator("[data-test=verdict]")).to_contain_text(re.compile(r"Checked: \d+ of \d+ passed"))
    expect(page.locator("[data-test=plots] [data-test=loudness]")).to_be_visible()
    assert page.locator("[data-test=scene]").count() > 1
    expect(page.locator("[data-test=makers]")).to_contain_text("parts were kept")
    expect(page.locator("[data-test=export]")).to_have_count(2)
    expect(page.locator("[data-test=export]").last).to_contain_text("mp4 · h264")
    seconds = video.evaluate(
        """async (video) => {
            video.muted = true;
            await video.play();
            await new Promise((resolve) => video.addEventListener("timeupdate",
                () => video.currentTime > 0.5 && resolve()));
            return [video.currentTime, video.duration, video.videoWidth, video.videoHeight];
        }"""
    )
    assert seconds[0] > 0.5
    assert 8 < seconds[1] < 14
    assert seconds[2:] == [270, 480]
    # A click on a line of the captions goes to where it is spoken: the file is read in ranges.
    page.locator("[data-test=captions] li button").nth(3).click()
    expect(page.locator("[data-test=captions] li").nth(3)).to_have_class("now")
    expect(page.locator("[data-test=captions] li.now")).to_have_count(1)
    shots(page, "video")


def test_a_running_job_moves_without_a_reload_and_can_be_cancelled(page: Page, until: Until) -> None:
    page.evaluate("window.unreloaded = true")
    page.click("text=Jobs")
    job = film.options(user_id="cancels").delay(60)
    row = page.locator(f"[data-test=job-row][data-id='{job.id}']")
    expect(row.locator("[data-test=job-state]")).to_have_text("executing")
    expect(row.locator("progress")).to_be_visible()
    row.focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-test=job-id]")).to_have_text(job.id)
    before = page.locator(".head progress").evaluate("(bar) => bar.value")
    page.wait_for_function("(before) => document.querySelector('.head progress')?.value > before", arg=before)
    page.click("[data-test=cancel]")
    expect(page.locator("h1 [data-test=job-state]")).to_have_text("cancelled")
    expect(page.locator("[data-test=timeline]")).to_contain_text("cancelled by its user")
    assert job.status().current_state == "CANCELLED"
    assert page.evaluate("window.unreloaded")


def test_a_failed_job_is_explained_replayed_and_discarded(page: Page, until: Until) -> None:
    job = blocked.delay("a knife in scene 3")
    until(lambda: job.status().current_state == "FAILED")
    page.goto(f"#/jobs/{job.id}")
    expect(page.locator("[data-test=error]")).to_contain_text("a knife in scene 3")
    expect(page.locator("[data-test=log]")).to_contain_text("attempt failed")
    page.click("[data-test=replay]")
    until(lambda: len(job.history()) == 7)
    page.goto("#/deadletters")
    group = page.locator("[data-test=group]", has_text="blocked")
    expect(group).to_be_visible()
    group.locator("[data-test=letter-more]").first.click()
    expect(group.locator("pre").last).to_contain_text("PermanentError")
    shot(page, "deadletters")
    group.locator("[data-test=select]").first.check()
    page.click("[data-test=selected-discard]")
    page.click("[data-test=confirm]")
    until(lambda: job.id not in [letter.job_id for letter in dlq.list_all()])


def test_a_group_of_failures_is_replayed_at_once(page: Page, until: Until) -> None:
    jobs = [blocked.delay(f"reason {n}") for n in range(4)]
    until(lambda: all(job.status().current_state == "FAILED" for job in jobs))
    page.goto("#/deadletters")
    group = page.locator("[data-test=group]", has_text="blocked by the safety filter: reason #")
    expect(group.locator("[data-test=letter]")).to_have_count(4)
    group.locator("[data-test=group-replay]").click()
    until(lambda: all(len(job.history()) == 7 for job in jobs))
    for job in jobs:
        dlq.remove(job.id)


def test_jobs_are_found_by_state_task_and_id(page: Page) -> None:
    job_tracker.create_job("found-by-id", "rare_task", user_id="seeker")
    page.click("text=Jobs")
    page.select_option("[data-test=state-filter]", "QUEUED")
    expect(page).to_have_url(re.compile("state=QUEUED"))
    expect(page.locator("[data-test=job-row][data-id='found-by-id']")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("body").press("/")
    page.locator("[data-test=search]").fill("rare_task")
    page.keyboard.press("Enter")
    expect(page.locator("[data-test=job-row]")).to_have_count(1)
    page.locator("[data-test=search]").fill("found-by-id")
    page.keyboard.press("Enter")
    expect(page.locator("[data-test=job-id]")).to_have_text("found-by-id")
    page.goto("#/jobs/nowhere")
    expect(page.locator(".empty")).to_contain_text("no job nowhere")


def test_a_view_whose_data_come_late_does_not_write_over_the_next_one(page: Page) -> None:
    job_tracker.create_job("late", "slow_to_show")
    held: list[Route] = []
    page.route("**/api/jobs/late/status", lambda route: held.append(route), times=1)
    with page.expect_request("**/api/jobs/late/status"):
        page.goto("#/jobs/late")
    page.goto("#/create")
    expect(page.locator("[data-test=create-prompt]")).to_be_visible()
    with page.expect_response("**/api/jobs/late/history"):  # which it asks for when it has drawn itself
        held[0].continue_()
    expect(page.locator("[data-test=create-prompt]")).to_be_visible()
    expect(page).to_have_title("Create · ytray")


def test_a_queue_is_paused_and_resumed(page: Page) -> None:
    page.click("[data-test=queue-pause-batch]")
    expect(page.locator("[data-test=queue-batch]")).to_contain_text("paused")
    assert [queue.name for queue in job_tracker.queues() if queue.paused] == ["batch"]
    page.click("[data-test=queue-pause-batch]")
    expect(page.locator("[data-test=queue-batch] .warn")).to_have_count(0)
    assert not any(queue.paused for queue in job_tracker.queues())


def test_it_stays_fast_and_pages_with_very_many_jobs(
    browser: Browser, bare_store: Store, serving: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ytray.engine.state import connection
    from ytray.engine.state.store import Submission

    monkeypatch.setattr(connection, "_current", connection._Connection(bare_store, has_ray=True))
    rows = [(f"many-{n:06d}", b'{"code":"x","args":{}}') for n in range(100_000)]
    bare_store.submit(rows, Submission("noop", "batch", "batch", 4))
    page = browser.new_context(base_url=serving(bare_store, open_without_keys=True)).new_page()
    page.goto("/#/jobs")
    expect(page.locator("[data-test=job-row]")).to_have_count(50)
    first = page.locator("[data-test=job-row]").first.get_attribute("data-id")
    took = page.evaluate(
        """async () => {
            const begun = performance.now();
            const first = () => document.querySelector("[data-test=job-row]")?.dataset.id;
            const seen = first();
            document.querySelector("[data-test=older]").click();
            while (!first() || first() === seen) await new Promise(requestAnimationFrame);
            return performance.now() - begun;
        }"""
    )
    assert took < 10_000
    assert page.locator("[data-test=job-row]").first.get_attribute("data-id") != first
    page.goto("/#/")
    expect(page.locator("[data-test=queue-batch] [data-test=depth]")).to_have_text("100,000")
    page.context.close()


def test_it_asks_for_a_key_where_there_are_keys(
    browser: Browser, bare_store: Store, serving: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ytray.engine.state import connection

    monkeypatch.setattr(connection, "_current", connection._Connection(bare_store, has_ray=True))
    key, _ = KeyRing(bare_store).create("reader", ["read"], "ann")
    page = browser.new_context(base_url=serving(bare_store, open_without_keys=False)).new_page()
    page.goto("/")
    page.fill("[data-test=key]", "yt_wrong")
    page.click("[data-test=sign-in]")
    expect(page.locator("[role=alert]")).to_contain_text("wrong")
    page.fill("[data-test=key]", key)
    page.click("[data-test=sign-in]")
    expect(page.locator("main")).to_contain_text("No jobs yet")
    expect(page.locator("[data-test=queue-pause-media]")).to_have_count(0)
    page.goto("#/create")
    expect(page.locator("main")).to_contain_text("only reads")
    page.click("[data-test=sign-out]")
    expect(page.locator("[data-test=key]")).to_be_visible()
    page.context.close()


def test_it_fits_a_phone_and_follows_light_and_dark(browser: Browser, api_url: str) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(
            base_url=api_url, viewport={"width": 360, "height": 740}, color_scheme=scheme, reduced_motion="reduce"
        )
        page = context.new_page()
        for view in ("#/", "#/jobs", "#/deadletters", "#/spending", "#/create"):
            page.goto(f"/{view}")
            expect(page.locator("[data-test=live]")).to_have_text("live")
            page.locator("main > *").first.wait_for()
            too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert too_wide <= 0, view
        ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        light = sum(int(part) for part in re.findall(r"\d+", ground)[:3]) > 380
        assert light == (scheme == "light")
        page.click("[data-test=theme]")
        assert page.evaluate("document.documentElement.dataset.theme") != scheme
        context.close()


def test_a_part_that_is_missing_and_an_api_that_is_away_are_told_above_the_page(
    browser: Browser, bare_store: Store, serving: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ytray.engine.state import connection

    monkeypatch.setattr(connection, "_current", connection._Connection(bare_store, has_ray=True))
    page = browser.new_context(base_url=serving(bare_store, open_without_keys=True)).new_page()
    page.goto("/")
    banner = page.locator("[data-test=banner]")
    expect(page.locator("main")).to_contain_text("No jobs yet")
    expect(banner).to_be_hidden()

    killed = "raylet (process 7) was ended by SIGKILL"
    for part in (Part("raylet", "missing", 1, time.time() - 30, killed), Part("haproxy", "up", 1, time.time(), "")):
        bare_store.redis.hset(bare_store.key("parts"), part.name, part.sent())
    expect(banner).to_contain_text("raylet has been missing")
    expect(banner).to_contain_text(killed)
    expect(banner.locator("p")).to_have_count(2)
    expect(banner.locator("[data-part=up]")).to_contain_text("haproxy was started again")
    shot(page, "banner")

    bare_store.redis.delete(bare_store.key("parts"))
    expect(banner).to_be_hidden()
    page.route("**/api/**", lambda route: route.abort())
    expect(banner).to_contain_text("The API cannot be reached.")
    page.unroute("**/api/**")
    page.route("**/api/**", lambda route: route.fulfill(status=500, body="Internal Server Error"))
    expect(banner).to_contain_text("it is starting")
    page.unroute("**/api/**")
    expect(banner).to_be_hidden()
    page.context.close()


def test_the_audit_trail_tells_who_did_what(page: Page, api_url: str) -> None:
    for does in ("pause", "resume"):
        assert httpx.post(f"{api_url}/api/queues/batch/{does}", timeout=30).status_code == 200
    page.click("[data-test=nav-audit]")
    entries = page.locator("[data-test=audit-entry]")
    expect(entries.nth(0)).to_contain_text("resume queue")
    expect(entries.nth(1)).to_contain_text("pause queue")
    expect(entries.nth(0)).to_contain_text("anybody")
    fits_a_phone(page)
