"""Money in the console: what calls cost, what users may spend, what a video will cost, and calls nobody knows of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.console.phone import fits_a_phone
from tests.console.pictures import shots
from tests.console.tasks_for_console import buys_on_a_bad_line
from tests.vertex.server import VertexServer
from tests.vertex.tasks_for_vertex import buys
from ytray import Job
from ytray.api.keys import KeyRing
from ytray.engine.state.store import Store
from ytray.spend import budgets

Until = Callable[..., None]


@pytest.fixture
def money(system: Store) -> Iterator[Store]:
    """The running system's store; the budgets that a test sets are gone afterwards."""
    yield system
    system.redis.delete(system.key("budgets"))


def bought(until: Until, user: str, folder: Path, usd: float, times: int = 1) -> list[Job[Any]]:
    """Jobs of a user that have paid."""
    jobs = buys.options(user_id=user).map([{"folder": str(folder), "usd": usd}] * times)
    until(lambda: all(job.status().current_state == "COMPLETED" for job in jobs))
    return list(jobs)


def lost(until: Until, user: str, folder: Path, usd: float) -> Job[Any]:
    """A job whose paid call nobody knows the outcome of."""
    job = buys_on_a_bad_line.options(user_id=user).delay(str(folder), usd)
    until(lambda: job.status().current_state == "FAILED")
    return job


def test_a_jobs_calls_are_shown_with_what_they_cost(page: Page, until: Until, tmp_path: Path, money: Store) -> None:
    (job,) = bought(until, "shopper", tmp_path, 0.25)
    page.goto(f"#/jobs/{job.id}")
    call = page.locator(".spending [data-test=call]")
    expect(call).to_have_count(1)
    expect(call.locator("[data-test=call-state]")).to_have_text("done")
    expect(call).to_contain_text("thing model-for-tests")
    expect(call).to_contain_text("a thing")
    expect(call).to_contain_text("$0.2500")
    expect(page.locator("[data-test=calls-total]")).to_have_text("$0.2500")
    # A job that paid for nothing says nothing of money but its cost.
    free = buys_on_a_bad_line.options(delay=3600, user_id="shopper").delay(str(tmp_path), 1.0)
    page.goto(f"#/jobs/{free.id}")
    expect(page.locator("[data-test=job-id]")).to_have_text(free.id)
    expect(page.locator(".spending")).to_be_hidden()
    free.cancel()


def test_a_budget_is_set_shown_and_cleared(page: Page, until: Until, tmp_path: Path, money: Store) -> None:
    bought(until, "thrifty", tmp_path, 0.3, times=3)
    budgets.set_user_budget(money, "generous", 2500)
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page).to_have_url(re.compile("#/spending$"))
    line = page.locator("[data-test=budget][data-user=thrifty]")
    expect(line).to_contain_text("$0.9000 spent, no limit")
    expect(page.locator("[data-test=budget][data-user=generous]")).to_contain_text("$0.00 of $2,500.00")
    line.locator("[data-test=set-limit]").click()
    line.locator("[data-test=limit]").fill("1.2")
    bought(until, "generous", tmp_path, 0.1)  # what happens meanwhile does not take the field away
    expect(page.locator("[data-test=call]", has_text="generous")).to_be_visible()
    expect(line.locator("[data-test=limit]")).to_have_value("1.2")
    line.locator("[data-test=save-limit]").click()
    expect(line).to_contain_text("$0.9000 of $1.20")
    meter = line.locator("[role=meter]")
    expect(meter).to_have_attribute("aria-valuetext", "$0.9000 of $1.20")
    assert meter.locator(".spent").evaluate("(part) => part.style.inlineSize") == "75%"
    assert budgets.user_budget(money, "thrifty").limit_usd == 1.2
    page.locator("[data-test=new-user]").fill("newcomer")
    page.locator("[data-test=new-limit]").fill("5")
    page.locator("[data-test=new-save]").click()
    expect(page.locator("[data-test=budget][data-user='newcomer']")).to_contain_text("$0.00 of $5.00")
    shots(page, "spending")
    fits_a_phone(page)
    line.locator("[data-test=set-limit]").click()
    shots(page, "spending-limit")
    fits_a_phone(page)
    line.locator("[data-test=clear-limit]").click()
    expect(line).to_contain_text("$0.9000 spent, no limit")
    page.goto("#/")
    expect(page.locator("[data-test=spent]")).to_contain_text("Spent this month $")
    shots(page, "overview")


def test_calls_are_found_by_user_and_lead_to_their_jobs(page: Page, until: Until, tmp_path: Path, money: Store) -> None:
    first, *_ = bought(until, "collector", tmp_path, 0.002, times=3)
    page.goto("#/spending")
    page.locator("[data-test=user-filter]").fill("collector")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("user_id=collector"))
    expect(page.locator("[data-test=call]")).to_have_count(3)
    page.locator("[data-test=uncertain-filter]").check()
    expect(page.locator(".empty")).to_contain_text("No call matches")
    page.locator("[data-test=uncertain-filter]").uncheck()
    bought(until, "collector", tmp_path, 0.002)
    expect(page.locator("[data-test=call]")).to_have_count(4)
    page.locator("[data-test=call]", has=page.locator(f"a[title='{first.id}']")).focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-test=job-id]")).to_have_text(first.id)
    page.goto("#/spending")
    expect(page.locator("[data-test=models]")).to_contain_text("$0.067 an image")
    expect(page.locator("main")).to_contain_text("Prices as of 2026-11-01")


def test_a_call_nobody_knows_of_is_shown_and_allowed_again(
    page: Page, until: Until, tmp_path: Path, money: Store
) -> None:
    job = lost(until, "unlucky", tmp_path, 0.5)
    page.goto("#/spending?user_id=unlucky&uncertain=1")
    expect(page.locator("[data-test=call-state]")).to_have_text("uncertain")
    expect(page.locator("[data-test=call-why]")).to_contain_text("The line went dead")
    page.goto(f"#/jobs/{job.id}")
    why = page.locator("[data-test=call-why]")
    expect(why).to_contain_text("The line went dead")
    expect(page.locator("[data-test=calls-total]")).to_have_text("$0.5000")
    shots(page, "uncertain")
    fits_a_phone(page)
    page.click("[data-test=allow]")
    expect(page.locator("#dialog")).to_contain_text("pays a second time")
    shots(page, "allow")
    page.click("[data-test=confirm]")
    expect(why).to_contain_text("Allowed again")
    page.click("[data-test=replay]")
    expect(page.locator("h1 [data-test=job-state]")).to_have_text("completed")
    expect(page.locator("[data-test=call-state]")).to_have_text("done")
    expect(page.locator("[data-test=call]")).to_contain_text("2 tries")
    expect(page.locator("[data-test=calls-total]")).to_have_text("$1.00")
    expect(why).to_have_count(0)
    assert job.status().cost_usd == 1.0


@pytest.mark.chaos  # for its length: tests/vertex makes such a video
def test_a_video_is_priced_before_it_is_made_and_says_what_it_cost(
    page: Page, money: Store, vertex_server: VertexServer
) -> None:
    vertex_server.reset()
    vertex_server.scenes = 2
    page.click("[data-test=nav-create]")
    cost = page.locator("[data-test=cost]")
    expect(cost).to_contain_text("$0.00")
    expect(page.locator("[data-test=create-budget]")).to_be_hidden()
    page.select_option("[data-test=create-provider]", "vertex")
    estimated = re.compile(r"likely \$(\S+), at most \$(\S+); prices of 2026-11-01")
    expect(cost).to_have_text(estimated)
    of_30_s = _likely(cost.inner_text())
    page.locator("[data-test=create-duration]").fill("60")
    page.wait_for_function(
        "(before) => !document.querySelector('[data-test=cost]').innerText.includes(before)", arg=of_30_s
    )
    assert float(_likely(cost.inner_text())) > float(of_30_s)
    page.locator("[data-test=create-duration]").fill("5")
    page.fill("[data-test=create-prompt]", "Why do cats purr on Vertex?")
    page.locator("[data-test=create-budget]").fill("20")
    page.locator("[data-test=create-fresh]").check()
    expect(cost).to_contain_text("2 × image")
    shots(page, "create-vertex")
    fits_a_phone(page)
    with page.expect_request(lambda request: request.url.endswith("/api/videos")) as ordered:
        page.click("[data-test=create-submit]")
    order: dict[str, Any] = ordered.value.post_data_json or {}
    assert (order["provider"], order["budget_usd"], order["fresh"]) == ("vertex", 20, True)
    expect(page.locator(".spending [data-test=call]").first).to_be_visible(timeout=60_000)
    expect(page.locator("[data-test=video]")).to_be_visible(timeout=120_000)
    expect(page.locator("[data-test=notes]")).to_have_count(2)
    assert page.locator(".spending [data-test=call]").count() >= 7
    cost_told = page.locator("[data-test=calls-total]").inner_text()
    expect(page.locator(".facts dl")).to_contain_text(f"cost{cost_told}")
    shots(page, "vertex-video")
    # What these models never do: a hook that had to be written again, and a judge.
    page.route("**/status", _with_more)
    page.reload()
    expect(page.locator("[data-test=hooks] li.taken")).to_have_text(re.compile("0.95.*taken"))
    expect(page.locator("[data-test=hooks] li")).to_have_count(2)
    expect(page.locator("[data-test=judgement]")).to_contain_text("0.80. The scenes follow")
    shots(page, "vertex-judged")
    fits_a_phone(page)
    vertex_server.reset()


def _likely(text: str) -> str:
    found = re.search(r"likely \$([\d.]+)", text)
    assert found is not None
    return found.group(1)


def _with_more(route: Route) -> None:
    answer = route.fetch()
    status = answer.json()
    made = status["result"]
    made["hook"]["candidates"].insert(0, {"text": "Cats are animals.", "score": 0.5})
    made["coherence"]["judgement"] = {
        "score": 0.8,
        "explanation": "The scenes follow one question to its answer; the second could name its source.",
        "judge": "Vertex AI evaluation service",
    }
    route.fulfill(response=answer, json=status)


def test_who_may_only_read_changes_nothing(
    browser: Browser, bare_store: Store, serving: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ytray.engine.state import connection

    monkeypatch.setattr(connection, "_current", connection._Connection(bare_store, has_ray=True))
    key, _ = KeyRing(bare_store).create("reader", ["read"], None)
    page = browser.new_context(base_url=serving(bare_store, open_without_keys=False)).new_page()
    page.goto("/#/spending")
    page.fill("[data-test=key]", key)
    page.click("[data-test=sign-in]")
    expect(page.locator("main")).to_contain_text("Nobody has spent anything this month")
    expect(page.locator("main")).to_contain_text("No paid calls yet")
    shots(page, "spending-empty")
    budgets.set_user_budget(bare_store, "ann", 3)
    page.reload()
    expect(page.locator("[data-test=budget]")).to_contain_text("ann")
    expect(page.locator("[data-test=set-limit]")).to_have_count(0)
    expect(page.locator("[data-test=new-save]")).to_have_count(0)
    page.context.close()
