"""Batches in the console: a file is checked, run, watched; what failed is run again or given up."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.console.phone import fits_a_phone
from tests.console.pictures import shots
from tests.engine.tasks_for_batches import fragile_item, patient_item, plain_item
from tests.engine.tasks_for_tests import times
from ytray import batches, job_tracker
from ytray.engine.batch.model import BatchState

Until = Callable[..., None]


def new_batch(page: Page, task: str) -> None:
    page.goto("#/batches")
    page.click("[data-test=new-batch]")
    page.fill("[data-test=batch-task]", task)


def test_a_file_with_a_wrong_row_is_told_and_runs_without_it(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    good = [f"good-{number}" for number in range(12)]
    file.write_text("folder,name\n" + "".join(f"{tmp_path},{name}\n" for name in ["", *good]))
    new_batch(page, plain_item.name)
    expect(page.locator("#columns")).to_contain_text("folder, name; key names a row")
    page.set_input_files("[data-test=batch-file]", file)
    page.fill("[data-test=batch-name]", "A <b>dozen</b>")
    page.fill("[data-test=batch-concurrency]", "6")
    page.click("[data-test=batch-check]")
    wrong = page.locator("[data-test=bad-rows] tbody tr")
    expect(wrong).to_have_count(1)
    expect(wrong.locator("td").nth(0)).to_have_text("2")
    expect(wrong.locator("td").nth(1)).to_have_text("name")
    expect(page.locator("[data-test=batch-outcome]")).to_contain_text("12 items")
    expect(page.locator("[data-test=batch-run]")).to_be_disabled()
    shots(page, "batch-new")
    fits_a_phone(page)
    assert not batches.page(state="RUNNING").batches
    assert not times(tmp_path, good[0])

    page.check("[data-test=skip-invalid]")
    expect(page.locator("[data-test=batch-run]")).to_have_text("Run 12 items")
    page.click("[data-test=batch-run]")
    expect(page.locator("[data-test=batch-title]")).to_have_text("A <b>dozen</b>")
    expect(page.locator("[data-test=percent]")).to_have_text("100 %", timeout=30_000)
    expect(page.locator("h1 [data-test=job-state]")).to_have_text("completed")
    expect(page.locator("[data-test=items-bar]")).to_have_attribute("aria-label", "12 completed")
    expect(page.locator("[data-test=stages]")).to_contain_text("plain_item")
    expect(page.locator("[data-test=item]")).to_have_count(12)
    expect(page.locator("[data-test=failures]")).to_be_hidden()
    shown = batches.get(page.locator("[data-test=batch-id]").inner_text()).status()
    assert (shown.state, shown.total, shown.concurrency) == (BatchState.COMPLETED, 12, 6)
    assert [times(tmp_path, name) for name in good] == [1] * 12
    # An item leads to its job, and from there back.
    page.locator("[data-test=item]").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-test=result]")).to_have_text('"good-0"')
    page.click(f"text={shown.batch_id}")
    expect(page.locator("[data-test=batch-id]")).to_have_text(shown.batch_id)


def test_rows_are_typed_and_edited_until_they_are_right(page: Page, tmp_path: Path) -> None:
    new_batch(page, "plain_iten")
    page.fill("[data-test=batch-rows]", f'{{"folder": "{tmp_path}", "nam": "x"}}')
    page.click("[data-test=batch-check]")
    expect(page.locator("[data-test=batch-trouble]")).to_contain_text("plain_iten")
    page.fill("[data-test=batch-task]", plain_item.name)
    page.click("[data-test=batch-check]")
    expect(page.locator("[data-test=bad-rows]")).to_contain_text("did you mean 'name'")
    expect(page.locator("[data-test=batch-run]")).to_be_hidden()
    page.fill("[data-test=batch-rows]", f'{{"folder": "{tmp_path}", "name": "x"}}')
    expect(page.locator("[data-test=bad-rows]")).to_have_count(0)
    page.click("[data-test=batch-check]")
    expect(page.locator("[data-test=batch-run]")).to_have_text("Run 1 item")


def test_a_failed_group_is_run_again_while_the_page_is_live(page: Page, until: Until, tmp_path: Path) -> None:
    rows = [
        {
            "folder": str(tmp_path),
            "name": f"item-{number:02}",
            "fails": number in (3, 17, 30),
            "key": f"{tmp_path}-{number}",
        }
        for number in range(40)
    ]
    batch = batches.submit(rows, task=fragile_item, name="Fragile things", budget_usd=5.0)
    page.goto(f"#/batches/{batch.id}")
    page.evaluate("window.unreloaded = true")
    expect(page.locator("h1 [data-test=job-state]")).to_have_text("failed", timeout=30_000)
    group = page.locator("[data-test=group]")
    expect(group).to_have_count(1)
    expect(group.locator("[data-test=group-count]")).to_have_text("3")
    expect(group).to_contain_text("PermanentError")
    expect(group).to_contain_text("fragile_item")
    expect(page.locator("[data-test=cost] + small")).to_have_text("of $5.00")
    page.click("[data-test=count-failed]")
    expect(page.locator("[data-test=item]")).to_have_count(3)
    expect(page.locator("[data-test=item]").first).to_contain_text("code 4711")
    shots(page, "batch-failed")
    fits_a_phone(page)
    href = page.locator("[data-test=batch-report]").get_attribute("href")
    assert href is not None
    report = page.request.get(href)
    assert report.ok
    assert "Fragile things" in report.text()

    # Nothing was mended: they fail once more, and the page tells without being asked.
    group.locator("[data-test=group-replay]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#notices")).to_contain_text("3 items run again")
    until(lambda: times(tmp_path, "item-17") == 2 and batch.status().state is BatchState.FAILED)
    expect(page.locator("h1 [data-test=job-state]")).to_have_text("failed", timeout=30_000)
    (tmp_path / "mended").touch()
    group.locator("[data-test=group-replay]").click()
    expect(page.locator("h1 [data-test=job-state]")).to_have_text("completed", timeout=30_000)
    expect(page.locator("[data-test=failures]")).to_be_hidden()
    expect(page.locator("[data-test=count-completed] strong")).to_have_text("40")
    assert batch.status().state is BatchState.COMPLETED
    assert page.evaluate("window.unreloaded")


def test_a_failed_group_is_given_up_after_a_question(page: Page, tmp_path: Path) -> None:
    rows = [{"folder": str(tmp_path), "name": name, "fails": name == "bad"} for name in ("good", "bad")]
    batch = batches.submit(rows, task=fragile_item)
    page.goto(f"#/batches/{batch.id}")
    page.click("[data-test=group-discard]", timeout=30_000)
    expect(page.locator("#dialog")).to_contain_text("Give up 1 failed item?")
    page.click("[data-test=confirm]")
    expect(page.locator("h1 [data-test=job-state]")).to_have_text("completed")
    expect(page.locator("[data-test=items-bar]")).to_have_attribute("aria-label", "1 completed, 1 discarded")
    assert batch.status().state is BatchState.COMPLETED


def test_a_batch_is_paused_resumed_and_cancelled_and_stands_in_the_overview(page: Page, tmp_path: Path) -> None:
    job_tracker.pause("default")
    names = [f"waits-{number}" for number in range(30)]
    rows = [{"folder": str(tmp_path), "name": name} for name in names]
    batch = batches.submit(rows, task=plain_item, name="In no hurry", concurrency=2)
    page.goto("#/")
    shown = page.locator("[data-test=running-batches] [data-test=batch-row]", has_text="In no hurry")
    expect(shown.locator("[data-test=items-done]")).to_have_text("0 of 30")
    shown.focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-test=batch-title]")).to_have_text("In no hurry")
    go = page.locator("[data-test=batch-go]")
    go.focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-test=batch-reason]")).to_have_text("paused by its user")
    assert batch.status().state is BatchState.PAUSED
    expect(go).to_have_text("Resume")
    expect(go).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("h1 [data-test=job-state]")).to_have_text("running")
    page.click("[data-test=items-next]")
    expect(page.locator("[data-test=item]")).to_have_count(5)
    page.click("[data-test=batch-cancel]")
    page.click("[data-test=confirm]")
    expect(page.locator("h1 [data-test=job-state]")).to_have_text("cancelled")
    job_tracker.resume("default")
    page.keyboard.press("g")
    page.keyboard.press("b")
    page.select_option("[data-test=state-filter]", "CANCELLED")
    expect(page).to_have_url(re.compile("state=CANCELLED"))
    expect(page.locator("[data-test=batch-row]", has_text="In no hurry")).to_have_count(1)
    shots(page, "batches")
    fits_a_phone(page)
    assert not any(times(tmp_path, name) for name in names)


def test_the_secret_of_webhooks_is_shown_when_asked_for_and_made_anew(page: Page) -> None:
    page.goto("#/batches")
    place = page.locator("[data-test=webhooks]")
    place.locator("summary").click()
    place.locator("[data-test=show-webhook-secret]").click()
    secret = place.locator("[data-test=webhook-secret]")
    expect(secret).to_have_text(re.compile("^whsec_"))
    before = secret.inner_text()
    fits_a_phone(page)
    place.locator("[data-test=rotate-webhook-secret]").click()
    page.click("[data-test=confirm]")
    expect(place).to_contain_text("The one before signs, too")
    expect(secret).not_to_have_text(before)
    expect(secret).to_have_text(re.compile("^whsec_"))


def test_what_waits_to_be_tried_again_is_shown_in_the_batch_and_in_its_job(
    page: Page, tmp_path: Path, until: Until
) -> None:
    batch = batches.submit([{"folder": str(tmp_path), "name": name} for name in ("a", "b")], task=patient_item)
    until(lambda: sum(one.count for one in batch.status().retries) == 2)
    page.goto(f"#/batches/{batch.id}")
    told = re.compile(
        r"patient_stage \(2 of them\) waits to be tried again in \d+ min .*: OSError: the network is away"
    )
    expect(page.locator("[data-test=waits]")).to_have_text(told)
    shots(page, "batch-waits")
    item = batch.items().items[0].job_id or ""
    page.goto(f"#/jobs/{item}")
    expect(page.locator("[data-test=waits]")).to_have_text(re.compile("patient_stage waits .* the network is away"))
    expect(page.locator("[data-test=flow-node]")).to_contain_text("retrying at")
    shots(page, "job-waits")
    fits_a_phone(page)
    page.goto(f"#/jobs/{job_tracker.children(item)[0].job_id}")
    expect(page.locator("[data-test=retry-at]")).to_contain_text("retry 1")
    expect(page.locator("[data-test=error]")).to_have_text("OSError: the network is away")
    batch.cancel()
