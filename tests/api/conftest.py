"""A client of the API."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest


@pytest.fixture
def api(api_url: str) -> Iterator[httpx.Client]:
    """An HTTP client of the API over the running system."""
    with httpx.Client(base_url=api_url, timeout=30) as client:
        yield client
