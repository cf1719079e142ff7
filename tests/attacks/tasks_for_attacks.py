"""Tasks that attacks submit."""

from __future__ import annotations

from ytray import task


@task()
def look_into(files: list[str]) -> int:
    """A task of a user's own that takes URIs as any other text."""
    return len(files)


@task(public=False)
def for_operators(number: int = 0) -> int:
    return number
