"""A real Chromium, and a page of the console in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

expect.set_options(timeout=30_000)  # for faults alone: a machine that does other things besides answers late


@pytest.fixture(scope="package")  # no longer: while it is there, nothing else may run an event loop in this thread
def browser() -> Iterator[Browser]:
    """One for all tests of the console."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        told = "the console's tests need a browser: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(told)
        pytest.skip(told)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--mute-audio"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, api_url: str) -> Iterator[Page]:
    """A page of the console over the running system. Errors in its scripts fail the test."""
    context = browser.new_context(base_url=api_url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if "Content Security Policy" in line.text else None)
    page.goto("/")
    expect(page.locator("[data-test=live]")).to_have_text("live")
    yield page
    context.close()
    assert not wrong
