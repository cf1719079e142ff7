"""Pictures of the console, to be looked at: YTRAY_SCREENSHOTS names a folder for them."""

from __future__ import annotations

import os
from pathlib import Path

from playwright.sync_api import Page

SHOTS = os.environ.get("YTRAY_SCREENSHOTS")
_NARROW = 400  # pixels


def shot(page: Page, name: str) -> None:
    """Leave a picture of what the page shows."""
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def shots(page: Page, name: str) -> None:
    """Leave pictures of the whole page in light and dark, and on a phone."""
    size = page.viewport_size
    if not SHOTS or size is None:
        return
    theme = page.evaluate("document.documentElement.dataset.theme")
    for scheme in ("light", "dark"):
        page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", scheme)
        for width, suffix in ((size["width"], scheme), (_NARROW, f"phone-{scheme}")):
            page.set_viewport_size({"width": width, "height": size["height"]})
            page.screenshot(path=str(Path(SHOTS) / f"{name}-{suffix}.png"), full_page=True)
    page.set_viewport_size(size)
    page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
