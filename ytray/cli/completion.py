"""What the shell completes beside commands and options. A completion that fails completes nothing."""

from __future__ import annotations

import os

import typer

from ytray.cli.backend import Reach
from ytray.engine.base.model import QUEUE_PRIORITIES, JobState

_PATIENCE = 2.0  # seconds that a person waits for a completion


def task_names(context: typer.Context) -> list[str]:
    """The tasks of the system that the command line is pointed at."""
    given = context.find_root().params
    url, key = (given.get(name) or os.environ.get(f"YTRAY_{name.upper()}") for name in ("url", "key"))
    try:
        return sorted(Reach(url, key).backend(timeout=_PATIENCE, tries=1).task_names())
    except Exception:  # a module in YTRAY_IMPORTS may raise anything, and nothing may be printed into the user's line
        return []


def states(incomplete: str) -> list[str]:
    """The states, in the case that was begun with, and `running`."""
    return list(JobState) if incomplete.isupper() else state_words()


def queue_names() -> list[str]:
    """The queues."""
    return list(QUEUE_PRIORITIES)


def state_words() -> list[str]:
    """What `--state` takes, in any case."""
    return [*(state.lower() for state in JobState), "running"]
