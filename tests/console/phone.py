"""Whether a page fits a phone."""

from __future__ import annotations

from playwright.sync_api import Page


def fits_a_phone(page: Page) -> None:
    """Fail when the page, as it is now, is wider than a phone."""
    size = page.viewport_size
    assert size is not None
    page.set_viewport_size({"width": 390, "height": 844})
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    page.set_viewport_size(size)
    assert wide <= 0, f"{page.url} is {wide} pixels too wide"
