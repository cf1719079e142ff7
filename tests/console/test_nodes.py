"""The nodes in the console: what they offer and run, and taking one out of service."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.console.phone import fits_a_phone
from tests.console.pictures import shot, shots
from tests.engine.tasks_for_tests import times, wait_for
from tests.second_node import second_node
from ytray.api.keys import KeyRing
from ytray.engine.cluster.nodes import list_nodes
from ytray.engine.state.store import Store

Until = Callable[..., None]


def test_a_node_is_drained_with_a_deadline_and_a_reason(page: Page, tmp_path: Path, until: Until) -> None:
    with second_node(media=1, batch=2) as second:
        slots = sum(node.slots["media"] for node in list_nodes())
        jobs = [wait_for.options(queue="media").delay(str(tmp_path), f"job-{n}") for n in range(slots)]
        until(lambda: all(times(tmp_path, f"started-job-{n}") for n in range(slots)), 60)
        page.keyboard.press("g")
        page.keyboard.press("n")
        expect(page).to_have_url(re.compile("#/nodes$"))
        head = page.locator("[data-test=node]").first
        expect(head.locator("[data-test=node-state]")).to_have_text("up, head")
        expect(head.locator("[data-test=drain]")).to_be_hidden()
        node = page.locator(f"[data-test=node][data-id='{second.node_id}']")
        expect(node).to_contain_text("media1 of 1 busy")
        expect(node).to_contain_text("batch0 of 2 busy")
        expect(node.locator("[data-test=node-left]")).to_have_text("1 job runs here")
        there = node.locator("[data-test=node-jobs] a")
        assert there.get_attribute("title") in [job.id for job in jobs]
        shots(page, "nodes")
        fits_a_phone(page)
        page.keyboard.press("j")
        page.keyboard.press("j")
        expect(node).to_be_focused()

        node.locator("[data-test=drain]").click()
        page.get_by_role("button", name="Keep").click()
        expect(node.locator("[data-test=node-state]")).to_have_text("up")
        node.locator("[data-test=drain]").click()
        page.select_option("[data-test=drain-minutes]", "15")
        page.fill("[data-test=drain-reason]", "a new kernel")
        shot(page, "nodes-dialog")
        page.click("[data-test=confirm]")
        expect(node.locator("[data-test=node-state]")).to_have_text("draining")
        expect(node.locator("[data-test=node-drain]")).to_contain_text(
            re.compile("interrupted in 1[45] min.*a new kernel")
        )
        expect(page.locator("[data-test=nodes-summary]")).to_contain_text("1 node takes work")
        shots(page, "nodes-draining")
        fits_a_phone(page)
        for n in range(slots):
            (tmp_path / f"job-{n}").touch()
        expect(node.locator("[data-test=node-state]")).to_have_text("gone")
        expect(node.locator("[data-test=node-left]")).to_have_text("No job runs here")
        expect(node.locator("[data-test=drain]")).to_be_hidden()


def test_jobs_that_wait_for_a_node_are_pointed_out(page: Page) -> None:
    def without_media(route: Route) -> None:
        answer = route.fetch()
        told = answer.json()
        for queue in told["queues"]:
            if queue["name"] == "media":
                queue.update(slots=0, depth=3, oldest_wait_seconds=90.0)
            if queue["name"] == "batch":
                queue.update(slots=0, depth=0)
        route.fulfill(response=answer, json=told)

    page.route("**/api/queues", without_media)
    page.goto("#/jobs")
    page.goto("#/")
    hint = page.locator("[data-test=lack-media]")
    expect(hint).to_contain_text("3 jobs wait in media, and no node offers queue_media: they start when one joins.")
    expect(page.locator("[data-test=queue-batch]")).to_contain_text("no node offers queue_batch")
    expect(page.locator("[data-test=lack-batch]")).to_have_count(0)
    fits_a_phone(page)
    hint.locator("a").click()
    expect(page).to_have_url(re.compile("#/nodes$"))
    expect(page.locator("[data-test=lack-media]")).to_be_visible()
    shots(page, "nodes-lack")
    fits_a_phone(page)


def test_who_may_not_drain_sees_no_button_and_a_user_sees_no_nodes(
    browser: Browser,
    system: Store,
    bare_store: Store,
    serving: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ytray.engine.state import connection

    monkeypatch.setattr(connection, "_current", connection._Connection(bare_store, has_ray=True))
    keys = {user: KeyRing(bare_store).create("watches", ["read"], user)[0] for user in (None, "ann")}
    url = serving(bare_store, open_without_keys=False)
    for user, key in keys.items():
        page = browser.new_context(base_url=url).new_page()
        page.goto("/#/nodes")
        page.fill("[data-test=key]", key)
        page.click("[data-test=sign-in]")
        if user is None:
            expect(page.locator("[data-test=node]").first).to_contain_text("default0 of 3 busy")
            expect(page.locator("[data-test=drain]:visible")).to_have_count(0)
        else:
            expect(page.locator("main")).to_contain_text("Not for this key")
            expect(page.locator("[data-test=nav-nodes]")).to_be_hidden()
        page.context.close()
