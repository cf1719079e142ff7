"""Tasks that the batches of the command line's tests are made of."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ytray import PermanentError, task


@task()
def say(folder: str, word: Annotated[str, Field(max_length=20)]) -> str:
    """Fail for good for a word with "not", while no file of that name is there."""
    if "not" in word and not (Path(folder) / word).exists():
        raise PermanentError(f"{word} is not to be said")
    return word


@task()
def say_when(folder: str, word: str) -> str:
    """Wait for a file of the word's name."""
    while not (Path(folder) / word).exists():
        time.sleep(0.01)
    return word
